//! How commands print: reports, and data that a closed pipe may cut short.

use std::io::{self, IsTerminal as _, Write as _};

use crate::diag::{self, Report, render};

/// Whether stderr shows colours.
pub fn stderr_color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Prints a report for people on stderr, with the number of errors and warnings below.
pub fn show(report: &Report) {
    if report.items.is_empty() {
        return;
    }
    let text = render::render(report, stderr_color());
    let summary = render::summary(report);
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell if stderr is gone.
    let _ = write!(stderr, "{text}");
    if report.count(diag::Severity::Error) + report.count(diag::Severity::Warning) > 1 {
        let _ = writeln!(stderr, "\n{summary}");
    }
}

/// Prints a text for people on stderr.
pub fn note(text: &str) {
    // Nobody is left to tell if stderr is gone; `eprint!` would panic.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints data on stdout. A reader that has seen enough is no error.
pub fn data(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| {
            if text.ends_with('\n') {
                Ok(())
            } else {
                stdout.write_all(b"\n")
            }
        })
        .and_then(|()| stdout.flush());
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            show(&Report::of(
                diag::Diagnostic::error(format!("cannot write to stdout: {e}"))
                    .exit(diag::EXIT_UNAVAILABLE),
            ));
            diag::EXIT_UNAVAILABLE
        }
        _ => diag::EXIT_OK,
    }
}

/// Prints a JSON value on stdout, on several lines.
pub fn json(value: &serde_json::Value) -> u8 {
    data(&format!("{value:#}"))
}
