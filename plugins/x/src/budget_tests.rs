use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// 2026-01-30 22:00.
const EVENING: i64 = 1_769_810_400 * SECOND;

fn limits(day: impl Into<Option<u64>>, month: impl Into<Option<u64>>, in_flight: u64) -> Limits {
    Limits {
        day: day.into(),
        month: month.into(),
        in_flight,
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        // In memory where there is such a place: what is tested is the order, not the disk.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory
        } else {
            &std::env::temp_dir()
        };
        Self(tempfile::tempdir_in(place).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("state/posts.json")
    }

    fn open(&self, limits: Limits, now: i64) -> Budget {
        Budget::open(&self.path(), limits, now).unwrap()
    }
}

/// Reads until the budget says no more; how many posts that were.
fn read_all(budget: &mut Budget, now: i64) -> (u64, Spent) {
    if let Some(spent) = budget.connect(now).unwrap() {
        return (0, spent);
    }
    let mut posts = 0;
    loop {
        posts += 1;
        if let Some(spent) = budget.count(now).unwrap() {
            budget.disconnected(now);
            return (posts, spent);
        }
    }
}

#[test]
fn what_may_be_under_way_is_kept_back() {
    let place = Place::new();
    let mut budget = place.open(limits(100, 250, 20), EVENING);
    assert_eq!(budget.left(), (Some(100), Some(250)));
    let (posts, spent) = read_all(&mut budget, EVENING);
    assert_eq!(posts, 80);
    assert_eq!(budget.left(), (Some(0), Some(150)));
    assert_eq!(spent.limit, "day = 100");
    assert_eq!(spent.until.to_string(), "2026-01-31T00:00:00Z");
    assert_eq!(
        budget.report(),
        "100 of 100 posts today (UTC), 100 of 250 posts this month"
    );
}

#[test]
fn a_new_day_and_a_new_month_begin_anew() {
    let place = Place::new();
    let mut budget = place.open(limits(100, 150, 20), EVENING);
    assert_eq!(read_all(&mut budget, EVENING).0, 80);
    let (posts, spent) = read_all(&mut budget, EVENING + DAY);
    assert_eq!(posts, 30);
    assert_eq!(spent.limit, "month = 150");
    assert_eq!(spent.until.to_string(), "2026-02-01T00:00:00Z");
    assert_eq!(read_all(&mut budget, EVENING + DAY).0, 0);
    assert_eq!(read_all(&mut budget, EVENING + 2 * DAY).0, 80);
    // A clock that goes back gives nothing again.
    assert_eq!(read_all(&mut budget, EVENING).0, 0);
}

#[test]
fn a_stop_in_good_order_forgets_nothing_and_wastes_nothing_else() {
    let place = Place::new();
    for posts in [20, 40, 60] {
        let mut budget = place.open(limits(1_000, None, 10), EVENING);
        assert_eq!(budget.connect(EVENING).unwrap(), None);
        for _ in 0..10 {
            assert_eq!(budget.count(EVENING).unwrap(), None);
        }
        budget.disconnected(EVENING);
        budget.settle().unwrap();
        assert_eq!(budget.left(), (Some(1_000 - posts), None));
    }
}

#[test]
fn a_crash_costs_what_was_under_way_and_the_last_step() {
    let place = Place::new();
    let mut budget = place.open(limits(1_000, None, 10), EVENING);
    budget.connect(EVENING).unwrap();
    for _ in 0..100 {
        budget.count(EVENING).unwrap();
    }
    drop(budget);
    let left = place.open(limits(1_000, None, 10), EVENING).left().0;
    assert!((880..890).contains(&left.unwrap()), "{left:?}");
    // On the next day only what may have come since midnight.
    let mut budget = place.open(limits(1_000, None, 10), EVENING);
    budget.connect(EVENING).unwrap();
    drop(budget);
    let left = place.open(limits(1_000, None, 10), EVENING + DAY).left().0;
    assert_eq!(left, Some(990));
}

#[test]
fn the_file_is_kept_from_others_and_must_be_an_account() {
    let place = Place::new();
    let budget = place.open(limits(10, None, 1), EVENING);
    let error = |place: &Place| Budget::open(&place.path(), limits(10, None, 1), EVENING).err();
    let in_use = error(&place).unwrap();
    assert!(
        in_use.is_transient() && in_use.message.contains("in use"),
        "{in_use}"
    );
    drop(budget);
    assert_eq!(error(&place), None);
    let text = fs::read_to_string(place.path()).unwrap();
    assert_eq!(
        text,
        "{\"day\":\"2026-01-30\",\"day_posts\":0,\"month_posts\":0,\"reading\":false}\n"
    );
    fs::write(place.path(), "{}").unwrap();
    assert_eq!(error(&place).unwrap().pointer, "/max_posts/file");
}

#[test]
fn an_account_that_cannot_be_written_stops_the_reading() {
    let place = Place::new();
    let mut budget = place.open(limits(100, None, 1), EVENING);
    budget.connect(EVENING).unwrap();
    place.0.close().unwrap();
    let error = (0..100).find_map(|_| budget.count(EVENING).err()).unwrap();
    assert!(error.message.contains("nothing more is read"), "{error}");
}

#[derive(Debug, Clone)]
enum Step {
    /// X sends a post, if the wire has room.
    Send,
    /// It is read.
    Read,
    /// Nothing comes but keep-alives.
    KeepAlive,
    Pass(i64),
    /// The connection ends by itself.
    Break,
    /// X ends it in good order: all that it sent is read.
    Close,
    /// X was asked and refused.
    Refuse,
    /// `kill -9`, then a start.
    Crash,
    /// A stop in good order, then a start.
    Stop,
}

/// What leaves nothing in the dark.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Send),
        20 => Just(Step::Read),
        2 => Just(Step::KeepAlive),
        2 => (1..4 * HOUR).prop_map(Step::Pass),
        1 => Just(Step::Close),
        1 => Just(Step::Refuse),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        47 => step(),
        1 => Just(Step::Break),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
    ]
}

/// X, which sends as much as the rule allows and bills it at once.
#[derive(Default)]
struct Server {
    connected: bool,
    wire: u64,
    days: BTreeMap<Date, u64>,
    months: BTreeMap<(i16, i8), u64>,
}

impl Server {
    fn send(&mut self, now: i64, in_flight: u64) {
        if self.connected && self.wire < in_flight {
            self.wire += 1;
            let day = date(now);
            *self.days.entry(day).or_default() += 1;
            *self.months.entry((day.year(), day.month())).or_default() += 1;
        }
    }

    /// Until it sees that nobody is there, it sends on.
    fn left(&mut self, now: i64, in_flight: u64) {
        for _ in 0..in_flight {
            self.send(now, in_flight);
        }
        (self.connected, self.wire) = (false, 0);
    }
}

/// A source and its server.
struct Life {
    place: Place,
    limits: Limits,
    now: i64,
    server: Server,
    budget: Option<Budget>,
    read: BTreeMap<Date, u64>,
}

impl Life {
    fn new(limits: Limits) -> Self {
        let place = Place::new();
        let budget = Some(place.open(limits, EVENING));
        Self {
            place,
            limits,
            now: EVENING,
            server: Server::default(),
            budget,
            read: BTreeMap::new(),
        }
    }

    fn budget(&mut self) -> &mut Budget {
        self.budget.as_mut().unwrap()
    }

    fn start_anew(&mut self) {
        self.budget = None;
        self.budget = Some(self.place.open(self.limits, self.now));
    }

    /// Reads a post; whether that was the last one.
    fn read(&mut self) -> bool {
        let now = self.now;
        self.server.wire -= 1;
        *self.read.entry(date(now)).or_default() += 1;
        self.budget().count(now).unwrap().is_some()
    }

    /// The connection ends, and what is under way nobody reads.
    fn leave(&mut self) {
        let now = self.now;
        self.server.left(now, self.limits.in_flight);
        self.budget().disconnected(now);
        self.budget().settle().unwrap();
    }

    fn step(&mut self, step: &Step) {
        let (now, in_flight) = (self.now, self.limits.in_flight);
        if !self.server.connected {
            let spent = self.budget().connect(now).unwrap();
            if matches!(step, Step::Refuse) {
                self.budget().settle().unwrap();
            } else {
                self.server.connected = spent.is_none();
            }
        }
        match step {
            Step::Send => self.server.send(now, in_flight),
            Step::Read if self.server.wire > 0 => {
                if self.read() {
                    self.leave();
                }
            }
            Step::Read | Step::Refuse => {}
            Step::KeepAlive => self.budget().tick(now).unwrap(),
            Step::Pass(time) => self.now += time,
            Step::Break if self.server.connected => self.leave(),
            Step::Break => {}
            Step::Close => {
                while self.server.wire > 0 {
                    self.read();
                }
                self.server.connected = false;
                self.budget().settle().unwrap();
            }
            Step::Crash => {
                self.server.left(now, in_flight);
                self.start_anew();
            }
            Step::Stop => {
                if self.server.connected {
                    self.leave();
                }
                self.start_anew();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever happens, X never bills more than the limits.
    #[test]
    fn never_exceeded(
        steps in prop::collection::vec(any_step(), 1..400),
        day in 12u64..120,
        month in 12u64..300,
        in_flight in 1u64..10,
    ) {
        let mut life = Life::new(limits(day, month, in_flight));
        for step in steps {
            life.step(&step);
            let Server { days, months, .. } = &life.server;
            prop_assert!(days.values().all(|n| *n <= day), "{days:?} of {day}");
            prop_assert!(months.values().all(|n| *n <= month), "{months:?} of {month}");
        }
    }

    /// Where no connection breaks or is left, and nothing crashes, the account is what was read.
    #[test]
    fn exact_in_good_order(
        steps in prop::collection::vec(step(), 1..400),
        in_flight in 1u64..10,
    ) {
        let mut life = Life::new(limits(1_000, 1_000, in_flight));
        for step in &steps {
            life.step(step);
        }
        life.step(&Step::Close);
        life.start_anew();
        let today = date(life.now);
        let of_day = life.read.get(&today).copied().unwrap_or(0);
        let of_month = life.read.range(today.first_of_month()..).map(|(_, n)| n).sum::<u64>();
        prop_assert_eq!(life.budget().left(), (Some(1_000 - of_day), Some(1_000 - of_month)));
    }
}
