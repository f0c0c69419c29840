//! Rounds of measurements as a table, and the ratio that comes of them.

/// A column: what was measured, once a round.
struct Column {
    title: String,
    values: Vec<f64>,
}

/// The table of one comparison.
#[derive(Default)]
pub struct Report {
    columns: Vec<Column>,
    ratio: Option<f64>,
}

impl Report {
    /// Adds a value to a column; columns appear in the order of their first value.
    pub fn add(&mut self, title: &str, value: f64) {
        match self.columns.iter_mut().find(|column| column.title == title) {
            Some(column) => column.values.push(value),
            None => {
                self.columns.push(Column {
                    title: title.to_owned(),
                    values: vec![value],
                });
            }
        }
    }

    /// The median of a column.
    ///
    /// # Panics
    /// If nothing was added to it.
    pub fn median(&self, title: &str) -> f64 {
        let column = self.columns.iter().find(|column| column.title == title);
        column
            .unwrap_or_else(|| panic!("nothing was measured as `{title}`"))
            .median()
    }

    /// Says what comes of it; of several ratios the least counts.
    pub fn conclude(&mut self, ratio: f64) {
        self.ratio = Some(self.ratio.map_or(ratio, |least| least.min(ratio)));
    }

    /// Prints the rounds and their medians; the ratio.
    pub fn print(&self) -> f64 {
        let rounds = self
            .columns
            .iter()
            .map(|column| column.values.len())
            .max()
            .unwrap_or(0);
        let width = |column: &Column| column.title.chars().count().max(9);
        let line = |name: &str, cell: &dyn Fn(&Column) -> String| {
            print!("{name:<7}");
            for column in &self.columns {
                print!("  {:>width$}", cell(column), width = width(column));
            }
            println!();
        };
        line("round", &|column| column.title.clone());
        for round in 0..rounds {
            line(&(round + 1).to_string(), &|column| {
                number(column.values.get(round).copied())
            });
        }
        line("median", &|column| number(Some(column.median())));
        self.ratio.unwrap_or(0.0)
    }
}

impl Column {
    fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}
