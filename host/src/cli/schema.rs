//! `host schema`: what an editor needs to complete and check a hosts.toml.

use super::{PluginArgs, Plugins, list, output};
use crate::plan::hosts_schema;

pub(super) fn schema(args: &PluginArgs, plugins: &dyn Plugins) -> u8 {
    match list::registry(args, plugins) {
        Ok(registry) => output::json(&hosts_schema(&registry)),
        Err(exit) => exit,
    }
}
