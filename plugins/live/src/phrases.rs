//! The option `track`, which is the same for all networks.

use plugin_api::StageError;
use track::Track;

/// Compiles phrases; none: everything passes.
///
/// # Errors
/// Which of them breaks Twitter's limits.
pub fn track(phrases: &[String]) -> Result<Option<Track>, StageError> {
    if phrases.is_empty() {
        return Ok(None);
    }
    Track::new(phrases).map(Some).map_err(|error| {
        let pointer = error
            .phrase
            .map_or("/track".into(), |at| format!("/track/{at}"));
        StageError::config(&pointer, error.to_string())
    })
}
