//! How the end of a websocket is put into words.

use crate::refusal::printable;

/// The code and the reason with which a server closes a websocket: `with 1012 (it restarts)`.
pub fn farewell(code: u16, reason: &str) -> String {
    let words = match printable(reason) {
        reason if !reason.is_empty() => reason,
        _ => match code {
            1000 => "in good order".into(),
            1001 => "it goes away".into(),
            1008 => "it does not like what was asked".into(),
            1009 => "a message was too long for it".into(),
            1011 => "something went wrong in it".into(),
            1012 => "it restarts".into(),
            1013 => "it has too much to do".into(),
            _ => "without a reason".into(),
        },
    };
    format!("with {code} ({words})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_is_put_into_words() {
        assert_eq!(farewell(1001, "bye\u{1b}"), "with 1001 (bye)");
        assert_eq!(farewell(1012, ""), "with 1012 (it restarts)");
        assert_eq!(farewell(4000, ""), "with 4000 (without a reason)");
    }
}
