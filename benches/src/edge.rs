//! What one more stage costs that does nothing: the edge, the thread's hand-over and the crossing
//! of the ABI, as the difference between a long and a short chain in the released host.

use std::{fmt::Write as _, fs, path::Path};

use crate::{Error, host, report::Report};

const ROUNDS: usize = 5;
/// Stages between source and sink, in the short and the long chain.
const CHAINS: [u64; 2] = [1, 9];
/// Records in a batch, and batches.
const FLOWS: [(u64, u64); 2] = [(1, 400_000), (1000, 40_000)];
const BATCH_NS: f64 = 1000.0;
const RECORD_NS: f64 = 5.0;

/// The worse of small and large batches counts.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let plugin = e2e::thirdparty::build(e2e::thirdparty::Compiler::Ours, true);
    fs::create_dir(folder.path().join("plugins"))?;
    fs::copy(
        plugin.join("libflow.so"),
        folder.path().join("plugins/libflow.so"),
    )?;
    for _ in 0..ROUNDS {
        for (records, batches) in FLOWS {
            let title = title(records);
            let [short, long] = CHAINS.map(|stages| chain(folder.path(), records, batches, stages));
            let edges = (CHAINS[1] - CHAINS[0]) as f64 * batches as f64;
            report.add(&title, (long? - short?) * 1e9 / edges);
        }
    }
    let ratio = FLOWS.map(|(records, _)| {
        (BATCH_NS + RECORD_NS * records as f64) / report.median(&title(records))
    });
    report.conclude(ratio[0].min(ratio[1]));
    Ok(())
}

fn title(records: u64) -> String {
    format!(
        "ns an edge and batch of {records} (limit {})",
        BATCH_NS + RECORD_NS * records as f64
    )
}

/// Seconds of CPU.
fn chain(folder: &Path, records: u64, batches: u64, stages: u64) -> Result<f64, Error> {
    let mut hosts = format!(
        "version = 1\nplugin_dirs = [\"plugins\"]\n\
         [hosts.bench.sources.s0]\nplugin = \"flow-count\"\n\
         with = {{ records = {}, batch = {records} }}\n",
        records * batches
    );
    for stage in 1..=stages {
        write!(
            hosts,
            "[hosts.bench.processors.s{stage}]\nplugin = \"flow-pass\"\ninputs = [\"s{}\"]\n",
            stage - 1
        )?;
    }
    write!(
        hosts,
        "[hosts.bench.sinks.end]\nplugin = \"flow-discard\"\ninputs = [\"s{stages}\"]\n"
    )?;
    Ok(host::cost(&mut host::command(folder, &hosts)?)?
        .cpu
        .as_secs_f64())
}
