use plugin_api::prelude::*;

options! {
    /// Writes each record in capitals.
    pub struct Options {
        /// Put behind each record. Default: nothing.
        #[serde(default)]
        pub suffix: String,
    }
}

struct Shout(Options);

impl Map for Shout {
    const NAME: &'static str = "shout";
    type Options = Options;
    fn open(options: Options, _: &Context) -> Result<Self, StageError> {
        Ok(Shout(options))
    }
    fn map(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<Fate, Reject> {
        out.extend(record.text()?.to_uppercase().into_bytes());
        out.extend(self.0.suffix.bytes());
        Ok(Fate::Keep)
    }
}

export_plugin! { processors: [PerRecord<Shout>] }
