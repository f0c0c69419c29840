//! From a configuration to a plan, as `run` and `validate` both need it.

use std::path::PathBuf;

use crate::config::{Config, ConfigSource, Pin};
use crate::diag::Report;
use crate::plan::{self, Plan, Registry, Request};

/// What came of a configuration.
pub struct Prepared {
    /// The file, if it is TOML.
    pub config: Option<Config>,
    /// The plugins found, if they were looked for.
    pub registry: Registry,
    /// The plan, if there was no error at all.
    pub plan: Option<Plan>,
    /// Everything there is to say, of the file and of the plan.
    pub report: Report,
}

/// Reads, finds plugins and plans.
pub fn prepare(
    source: &ConfigSource,
    find: &dyn Fn(&[PathBuf], &[Pin]) -> Registry,
    request: &Request<'_>,
) -> Prepared {
    let (config, mut report) = source.load();
    let Some(config) = config else {
        return Prepared {
            config: None,
            registry: Registry::default(),
            plan: None,
            report,
        };
    };
    let registry = find(&config.plugin_dirs, &config.pins);
    let (plan, planned) = plan::plan(&config, &registry, request);
    report.extend(planned);
    let plan = plan.filter(|_| !report.has_errors());
    Prepared {
        config: Some(config),
        registry,
        plan,
        report,
    }
}
