#[path = "../../../benches/src/cloud.rs"]
mod cloud;
#[path = "../../../benches/src/report.rs"]
mod report;
type Error = Box<dyn std::error::Error>;
fn main() {
    let mut report = report::Report::default();
    let which = std::env::args().nth(1).unwrap();
    if which == "live" {
        cloud::live(&mut report).unwrap()
    } else {
        cloud::picture(&mut report).unwrap()
    }
    println!("{}", report.print());
}
