//! A process of our own that is told what to do by lines, and answers by lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Error;

/// Ends when dropped.
pub struct Helper {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    pub fn start(args: &[&str]) -> Result<Self, Error> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Self {
            process,
            orders,
            answers,
        })
    }

    pub fn answer(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err("a helper has ended".into()),
            _ => Ok(line.trim().to_owned()),
        }
    }

    pub fn ask(&mut self, order: &str) -> Result<String, Error> {
        writeln!(self.orders, "{order}")?;
        self.answer()
    }

    /// KiB that it has in memory.
    pub fn resident(&self) -> Result<f64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        Ok(kib.ok_or("no VmRSS")?.trim().parse()?)
    }

    /// CPU time of all its threads so far, in milliseconds; it comes in steps of 10.
    pub fn cpu(&self) -> Result<f64, Error> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name, in brackets, may hold anything.
        let (_, fields) = stat.rsplit_once(')').ok_or("no process state")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() * 10.0)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
