//! The command line: one file a command. Data goes to stdout, everything else to stderr.

pub mod demo;
pub mod dlq;
pub mod inspect;
pub mod list;
pub mod live;
pub mod output;
pub mod prepare;
pub mod run;
pub mod schema;
pub mod state;
pub mod status;
pub mod validate;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::checkpoint::replay::Replay;
use crate::config::{ConfigSource, Pin};
use crate::diag::{Diagnostic, EXIT_OK, EXIT_USAGE, Report};
use crate::isolate;
use crate::plan::{PluginEntry, Refused, Registry};

/// Runs stages that plugins bring, wired by a hosts.toml.
#[derive(Debug, Parser)]
#[command(
    name = "host",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do; without a command: run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The arguments of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs hosts of a hosts.toml until they are done or stopped.
    Run(RunArgs),
    /// Checks a hosts.toml and its stages' options without connecting to anything.
    Validate(ValidateArgs),
    /// Shows what hosts left in their folders of state: epochs, accounts, dead letters.
    Status(StatusArgs),
    /// Looks at dead letters, and sends them again.
    Dlq(DlqArgs),
    /// Lists the plugins found, and the files that were refused.
    List(ListArgs),
    /// Describes a stage or a plugin, found or in a file, with its options.
    Inspect(InspectArgs),
    /// Prints the JSON Schema of hosts.toml with the options of all plugins found.
    Schema(PluginArgs),
    /// Runs the hosts.toml that is built in: everything on embedded parts, with a live page.
    Demo(DemoArgs),
    /// Serves one stage to the host that started this process.
    #[command(name = crate::isolate::COMMAND, hide = true)]
    Isolated(IsolatedArgs),
}

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The hosts.toml. Default: the one in this folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to run.
    #[command(flatten)]
    pub options: RunOptions,
}

impl RunArgs {
    /// Where the configuration comes from.
    pub fn source(&self) -> ConfigSource {
        ConfigSource::File(self.config.clone().unwrap_or_else(default_config))
    }
}

/// How to run, whatever the file.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Run this host; may stand several times. Default: all with `autostart`.
    #[arg(short = 'n', long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Each source stops after so many records.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Stop after this time, such as 30s.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub run_for: Option<Duration>,
    /// The longest time that draining may take after the end.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub grace: Duration,
    /// Give up the state that this stage left, as STAGE or HOST/STAGE; may stand several times.
    /// Needed when a change of the graph would lose it.
    #[arg(long, value_name = "STAGE")]
    pub drop_state: Vec<String>,
    /// How the account at the end is printed on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub summary: Format,
    /// How the log is printed on stderr.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: Format,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The hosts.toml. Default: the one in this folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check only this host, its secrets too; may stand several times. Default: all hosts, and
    /// the secrets of those with `autostart`.
    #[arg(short = 'n', long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Pass over environment variables and files that are missing.
    #[arg(long)]
    pub allow_missing_secrets: bool,
    /// How the result is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The hosts.toml. Default: the one in this folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only this host; may stand several times. Default: all.
    #[arg(short = 'n', long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// How the status is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Arguments of `dlq`.
#[derive(Debug, Args)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Counts dead letters by host, stage and reason.
    List(ListLettersArgs),
    /// Shows dead letters, the oldest first.
    Show(ShowArgs),
    /// Runs a host in which its sources read nothing, and the stages that rejected records get them
    /// again; each letter is sent again once, whatever happens.
    Replay(ReplayArgs),
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct LettersArgs {
    /// The hosts.toml. Default: the one in this folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only of this host; may stand several times. Default: of all.
    #[arg(short = 'n', long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Only of this stage.
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<String>,
}

/// Arguments of `dlq list`.
#[derive(Debug, Args)]
pub struct ListLettersArgs {
    /// Which.
    #[command(flatten)]
    pub of: LettersArgs,
    /// How the list is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Arguments of `dlq show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which.
    #[command(flatten)]
    pub of: LettersArgs,
    /// Only the letter of this id.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Show at most so many.
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: u64,
    /// How they are printed: text cuts long payloads; JSON is one whole letter a line.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Arguments of `dlq replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The hosts.toml. Default: the one in this folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only letters of this stage; may stand several times. Default: of all.
    #[arg(long = "stage", value_name = "STAGE")]
    pub stages: Vec<String>,
    /// How to run.
    #[command(flatten)]
    pub options: RunOptions,
}

/// Where plugins are looked for.
#[derive(Debug, Clone, Args)]
pub struct PluginArgs {
    /// Search the `plugin_dirs` of this hosts.toml. Default: plugins.d in this folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Where plugins are looked for.
    #[command(flatten)]
    pub plugins: PluginArgs,
    /// How the list is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Name of a stage or plugin, or a plugin's file.
    #[arg(value_name = "NAME|FILE.so")]
    pub what: String,
    /// Where plugins are looked for.
    #[command(flatten)]
    pub plugins: PluginArgs,
    /// How the description is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Print the file instead of running it.
    #[arg(long)]
    pub print: bool,
    /// How to run.
    #[command(flatten)]
    pub options: RunOptions,
}

/// Arguments of the process of an isolated stage.
#[derive(Debug, Args)]
pub struct IsolatedArgs {
    /// What it runs, for those who look at the list of processes; the rest comes over its socket.
    pub what: Vec<String>,
}

/// What the commands need of the loader.
pub trait Plugins {
    /// Finds plugins: the bundled ones, then those in `dirs`; pinned ones must match their pins.
    fn find(&self, dirs: &[PathBuf], pins: &[Pin]) -> Registry;
    /// Opens one file.
    ///
    /// # Errors
    /// Why it was refused.
    fn open(&self, file: &Path) -> Result<PluginEntry, Refused>;
}

/// Runs a configuration, or replays dead letters of it, and answers with the exit code.
pub type Run<'a> = dyn Fn(&RunOptions, &ConfigSource, Option<&Replay>) -> u8 + 'a;

/// Does what the command line says and answers with the exit code.
pub fn dispatch(cli: Cli, plugins: &dyn Plugins, run: &Run<'_>) -> u8 {
    match cli.command {
        None => run(&cli.run.options, &cli.run.source(), None),
        Some(Command::Run(args)) => run(&args.options, &args.source(), None),
        Some(Command::Validate(args)) => validate::validate(&args, plugins),
        Some(Command::Status(args)) => status::status(&args),
        Some(Command::Dlq(args)) => dlq::dlq(&args, run),
        Some(Command::List(args)) => list::list(&args, plugins),
        Some(Command::Inspect(args)) => inspect::inspect(&args, plugins),
        Some(Command::Schema(args)) => schema::schema(&args, plugins),
        Some(Command::Demo(args)) => demo::demo(&args, run),
        Some(Command::Isolated(_)) => isolated(),
    }
}

fn isolated() -> u8 {
    match isolate::serve() {
        Ok(()) => EXIT_OK,
        Err(e) => {
            let message = format!("this command is for the host's own use: {e}");
            output::show(&Report::of(Diagnostic::error(message).exit(EXIT_USAGE)));
            EXIT_USAGE
        }
    }
}

fn default_config() -> PathBuf {
    PathBuf::from("hosts.toml")
}

fn duration(text: &str) -> Result<Duration, String> {
    plugin_api::Span::parse(text).map(plugin_api::Span::duration)
}
