//! The two processors: records are picked by their index, their bytes are shared.

use crate::condition::Condition;
use crate::config::{CaseOptions, FilterOptions, Mode, RouteOptions};
use plugin_api::prelude::*;

/// Processor `filter`.
pub struct Filter {
    /// One for each input, which may differ in type.
    conditions: Vec<Condition>,
    keep: bool,
    kept: Vec<u32>,
}

impl Processor for Filter {
    const NAME: &'static str = "filter";
    type Options = FilterOptions;

    fn plan(options: &FilterOptions, inputs: &[ContentType]) -> Result<Planned, StageError> {
        conditions(&options.condition(), inputs, "")?;
        Ok(Planned::new(same_type(inputs)?))
    }

    fn open(options: FilterOptions, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            conditions: conditions(&options.condition(), ctx.inputs(), "")?,
            keep: options.mode == Mode::Keep,
            kept: Vec::new(),
        })
    }

    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        let condition = at_port(&mut self.conditions, input.port)?;
        self.kept.clear();
        let mut filtered = 0;
        for record in input.batch.iter() {
            match condition.holds(&record) {
                Ok(holds) if holds == self.keep => self.kept.push(record.index()),
                Ok(_) => filtered += 1,
                Err(reject) => out.reject(record.index(), &reject),
            }
        }
        out.filtered(filtered);
        emit(0, &self.kept, input.batch, out);
        Ok(Progress::Done)
    }
}

const UNMATCHED: usize = 1;
const FIRST_CASE: usize = 2;
const MAX_CASES: usize = 8;

/// Processor `route`.
pub struct Route {
    /// For each input: the conditions in turn.
    conditions: Vec<Vec<Condition>>,
    /// Port of the first condition.
    first_port: usize,
    picked: Vec<Vec<u32>>,
}

impl Processor for Route {
    const NAME: &'static str = "route";
    const OUTPUTS: &'static [PortSpec] = &[
        PortSpec { name: "matched" },
        PortSpec { name: "unmatched" },
        PortSpec { name: "case1" },
        PortSpec { name: "case2" },
        PortSpec { name: "case3" },
        PortSpec { name: "case4" },
        PortSpec { name: "case5" },
        PortSpec { name: "case6" },
        PortSpec { name: "case7" },
        PortSpec { name: "case8" },
    ];
    type Options = RouteOptions;

    fn plan(options: &RouteOptions, inputs: &[ContentType]) -> Result<Planned, StageError> {
        cases(options, inputs)?;
        let output = same_type(inputs)?;
        Ok(Planned::outputs(vec![output; Self::OUTPUTS.len()]))
    }

    fn open(options: RouteOptions, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            conditions: cases(&options, ctx.inputs())?,
            first_port: if options.cases.is_empty() {
                0
            } else {
                FIRST_CASE
            },
            picked: vec![Vec::new(); Self::OUTPUTS.len()],
        })
    }

    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        let conditions = at_port(&mut self.conditions, input.port)?;
        self.picked.iter_mut().for_each(Vec::clear);
        for record in input.batch.iter() {
            let mut port = Ok(UNMATCHED);
            for (number, condition) in conditions.iter_mut().enumerate() {
                match condition.holds(&record) {
                    Ok(false) => continue,
                    Ok(true) => port = Ok(self.first_port + number),
                    Err(reject) => port = Err(reject),
                }
                break;
            }
            match port {
                Ok(port) => self.picked[port].push(record.index()),
                Err(reject) => out.reject(record.index(), &reject),
            }
        }
        for (port, picked) in self.picked.iter().enumerate() {
            emit(port as u32, picked, input.batch, out);
        }
        Ok(Progress::Done)
    }
}

fn emit(port: u32, picked: &[u32], batch: &Batch, out: &mut Out<'_, '_>) {
    if picked.len() == batch.len() {
        out.emit(port, batch.clone());
    } else if !picked.is_empty() {
        out.emit(port, batch.select(picked));
    }
}

fn conditions(
    options: &CaseOptions,
    inputs: &[ContentType],
    pointer: &str,
) -> Result<Vec<Condition>, StageError> {
    let compile = |input| Condition::new(options, input, pointer);
    inputs.iter().map(compile).collect()
}

fn cases(
    options: &RouteOptions,
    inputs: &[ContentType],
) -> Result<Vec<Vec<Condition>>, StageError> {
    let alone = options.condition();
    let mut list: Vec<(String, &CaseOptions)> = Vec::new();
    if options.cases.is_empty() {
        list.push((String::new(), &alone));
    } else {
        let none = CaseOptions {
            ignore_case: alone.ignore_case,
            ..CaseOptions::default()
        };
        if alone != none {
            return Err(StageError::config(
                "/cases",
                "give either one condition or `cases`, not both",
            ));
        }
        if options.cases.len() > MAX_CASES {
            let message = format!(
                "there are ports for {MAX_CASES} cases; chain a second route behind `unmatched`"
            );
            return Err(StageError::config("/cases", message));
        }
        let cases = options.cases.iter().enumerate();
        list.extend(cases.map(|(index, case)| (format!("/cases/{index}"), case)));
    }
    let compile = |input| {
        let case = |(pointer, case): &(String, &CaseOptions)| Condition::new(case, input, pointer);
        list.iter().map(case).collect()
    };
    inputs.iter().map(compile).collect()
}

/// The one type of all inputs.
fn same_type(inputs: &[ContentType]) -> Result<ContentType, StageError> {
    let first = inputs.first().cloned().unwrap_or_else(ContentType::bytes);
    match inputs.iter().find(|input| **input != first) {
        None => Ok(first),
        Some(other) => Err(StageError::config(
            "/inputs",
            format!("its inputs differ: {first} and {other}; give each a stage of its own"),
        )),
    }
}

fn at_port<T>(list: &mut [T], port: u32) -> Result<&mut T, StageError> {
    let last = list.len().saturating_sub(1);
    list.get_mut((port as usize).min(last))
        .ok_or_else(|| StageError::fatal("a batch came in, but no input was planned"))
}
