//! The account's rules are brought in step with the options, by the fewest requests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Api, Part, ids, log, post, posts, read_all, source, status};
use plugin_api::Code;
use serde_json::{Value, json};

const TRACK: &str = "(rust OR #rust OR @rust OR url:rust)";

/// Runs once over an account with these rules; the API, and how it ended.
fn run(rules: Value, change: Value) -> (Api, Option<plugin_api::StageError>) {
    let api = Api::start([Answer::Stream(posts([1]))]);
    api.state().rules = rules.as_array().unwrap().clone();
    let mut base = json!({"on_close": "finish"});
    base = common::merged(base, change);
    let (_, error) = read_all(&mut source(&api, base));
    (api, error)
}

fn values(api: &Api) -> Vec<(String, Option<String>)> {
    let state = api.state();
    let rule = |r: &Value| {
        let text = |key: &str| r[key].as_str().map(str::to_owned);
        (text("value").unwrap(), text("tag"))
    };
    state.rules.iter().map(rule).collect()
}

fn rule(value: &str, tag: &str) -> (String, Option<String>) {
    (value.into(), Some(tag.into()))
}

#[test]
fn an_empty_account_gets_its_rules_after_a_dry_run() {
    let (api, error) = run(
        json!([]),
        json!({"rules": [{"value": "from:rustlang", "tag": "news"}, {"value": "#rust has:images"}]}),
    );
    assert_eq!(error, None);
    assert_eq!(
        api.asked(),
        [
            "GET rules",
            "POST rules?dry_run=true",
            "POST rules",
            "GET stream"
        ]
    );
    assert_eq!(
        values(&api),
        [
            rule("from:rustlang", "x:rule:news"),
            rule("#rust has:images", "x:rule"),
            rule(TRACK, "x:track")
        ]
    );
}

#[test]
fn an_account_in_step_is_only_looked_at() {
    let (api, error) = run(
        json!([{"id": "1", "value": TRACK, "tag": "x:track"}]),
        json!({}),
    );
    assert_eq!(error, None);
    assert_eq!(api.asked(), ["GET rules", "GET stream"]);
}

#[test]
fn what_is_gone_is_deleted_and_what_others_made_is_left() {
    let others = json!({"id": "2", "value": "theirs", "tag": "y:track"});
    let untagged = json!({"id": "3", "value": "cat"});
    let (api, error) = run(
        json!([
            {"id": "1", "value": "old", "tag": "x:track"},
            others,
            untagged,
            {"id": "4", "value": "kept", "tag": "x:rule:old"},
        ]),
        json!({"rules": [{"value": "kept", "tag": "new"}]}),
    );
    assert_eq!(error, None);
    assert_eq!(
        api.asked(),
        [
            "GET rules",
            "POST rules?dry_run=true",
            "POST rules",
            "POST rules",
            "GET stream"
        ]
    );
    let state = api.state();
    assert_eq!(
        state.requests[2].body,
        json!({"delete": {"ids": ["1", "4"]}})
    );
    assert_eq!(state.rules[..2], [others, untagged]);
    drop(state);
    assert_eq!(values(&api)[2], rule("kept", "x:rule:new"));
}

#[test]
fn only_deleting_needs_no_dry_run() {
    let (api, _) = run(
        json!([{"id": "1", "value": TRACK, "tag": "x:track"}, {"id": "2", "value": "b", "tag": "x:rule"}]),
        json!({}),
    );
    assert_eq!(api.asked(), ["GET rules", "POST rules", "GET stream"]);
}

#[test]
fn a_tag_of_ones_own_tells_sources_of_an_account_apart() {
    let (api, _) = run(
        json!([{"id": "1", "value": "b", "tag": "x:track"}]),
        json!({"tag": "mine"}),
    );
    assert_eq!(
        values(&api),
        [rule("b", "x:track"), rule(TRACK, "mine:track")]
    );
}

#[test]
fn a_wrong_rule_is_named_and_changes_nothing() {
    let before = json!([{"id": "1", "value": "old", "tag": "x:track"}]);
    let (api, error) = run(
        before.clone(),
        json!({"rules": [{"value": "good"}, {"value": "nonsense:1"}]}),
    );
    let error = error.unwrap();
    assert_eq!(
        (error.code, &*error.pointer),
        (Code::CONFIG, "/rules/1/value")
    );
    assert!(
        error
            .message
            .contains("X does not take the rule `nonsense:1`: Reference to invalid operator"),
        "{error}"
    );
    assert_eq!(api.asked(), ["GET rules", "POST rules?dry_run=true"]);
    assert_eq!(Value::from(api.state().rules.clone()), before);
}

#[test]
fn an_answer_of_400_with_reasons_names_the_rule_too() {
    let api = Api::start([]);
    let body = json!({"title": "Invalid Request", "errors": [{"value": "a:b", "title": "UnprocessableEntity",
        "details": ["no such operator"], "type": "https://api.x.com/2/problems/invalid-rules"}]});
    let empty = Answer::Status("200 OK", "", json!({"meta": {}}).to_string());
    let refused = Answer::Status("400 Bad Request", "", body.to_string());
    api.state().rules_faults = [empty, refused].into();
    let mut stage = source(&api, json!({"track": [], "rules": [{"value": "a:b"}]}));
    let error = read_all(&mut stage).1.unwrap();
    assert_eq!(error.pointer, "/rules/0/value");
}

#[test]
fn too_many_rules_are_said() {
    let api = Api::start([]);
    api.state().max_rules = Some(1);
    let mut stage = source(&api, json!({"rules": [{"value": "a"}]}));
    let error = read_all(&mut stage).1.unwrap();
    assert_eq!(error.pointer, "/rules");
    assert!(
        error.message.contains("may not have so many rules"),
        "{error}"
    );
}

/// The dry run comes while the rules that go are still there.
#[test]
fn rules_of_a_full_account_change() {
    let others = json!({"id": "2", "value": "theirs", "tag": "y:track"});
    let old = json!({"id": "1", "value": "old", "tag": "x:track"});
    let full = |change: Value| {
        let api = Api::start([Answer::Stream(posts([1]))]);
        api.state().rules = vec![old.clone(), others.clone()];
        api.state().max_rules = Some(2);
        let change = common::merged(json!({"on_close": "finish"}), change);
        let (got, error) = read_all(&mut source(&api, change));
        (api, got.emitted(), error)
    };
    let (api, posts, error) = full(json!({}));
    assert_eq!((posts, error), (1, None));
    assert_eq!(
        values(&api),
        [rule("theirs", "y:track"), rule(TRACK, "x:track")]
    );
    // Two for one do not fit: nothing is changed.
    let (api, _, error) = full(json!({"rules": [{"value": "a"}]}));
    assert_eq!(error.unwrap().pointer, "/rules");
    assert_eq!(api.state().rules, [old.clone(), others.clone()]);
    assert_eq!(api.asked(), ["GET rules", "POST rules?dry_run=true"]);
}

#[test]
fn rules_on_several_pages_are_all_seen() {
    let api = Api::start([Answer::Stream(vec![])]);
    api.state().page = Some(2);
    api.state().rules = (0..5)
        .map(|n| json!({"id": n.to_string(), "value": format!("v{n}"), "tag": "x:track"}))
        .collect();
    read_all(&mut source(&api, json!({"on_close": "finish"})));
    assert_eq!(values(&api), [rule(TRACK, "x:track")]);
}

#[test]
fn many_phrases_become_several_rules() {
    let phrases: Vec<String> = (0..100).map(|n| format!("phrase{n} word")).collect();
    let (api, error) = run(json!([]), json!({"track": phrases}));
    assert_eq!(error, None);
    let rules = values(&api);
    assert!(rules.len() > 5 && rules.iter().all(|(value, _)| value.len() <= 1024));
    // The next start finds them as they are.
    api.state().streams.push_back(Answer::Stream(vec![]));
    read_all(&mut source(
        &api,
        json!({"track": phrases, "on_close": "finish"}),
    ));
    assert_eq!(api.asked()[4..], ["GET rules", "GET stream"]);
}

#[test]
fn what_only_others_rules_bring_is_filtered_and_own_rules_are_not_matched_again() {
    let of = |id: u64, text: &str, rules: Value| {
        let mut post = post(id, text);
        post["matching_rules"] = rules;
        Part::Post(post)
    };
    let api = Api::start([Answer::Stream(vec![
        of(1, "rust", json!([{"id": "10", "tag": "x:track"}])),
        of(2, "no such word", json!([{"id": "10", "tag": "x:track"}])),
        of(
            3,
            "whatever",
            json!([{"id": "10", "tag": "x:track"}, {"id": "11", "tag": "x:rule"}]),
        ),
        of(4, "rust", json!([{"id": "12", "tag": "y:track"}])),
        // Adopted: somebody else made the same rule.
        of(5, "whatever", json!([{"id": "13"}])),
        of(6, "rust", json!([])),
    ])]);
    api.state().rules = vec![
        json!({"id": "10", "value": TRACK, "tag": "x:track"}),
        json!({"id": "11", "value": "own", "tag": "x:rule"}),
        json!({"id": "12", "value": "theirs", "tag": "y:track"}),
        json!({"id": "13", "value": "shared"}),
    ];
    let rules = json!([{"value": "own"}, {"value": "shared"}]);
    let mut stage = source(&api, json!({"rules": rules, "on_close": "finish"}));
    let (got, error) = read_all(&mut stage);
    assert_eq!((ids(&got), error), (vec![1, 3, 5], None));
    assert_eq!(got.filtered_count(), 3);
    let metric = |name: &str| stage.host().metric_value(name);
    assert_eq!((metric("x_of_others"), metric("x_untracked")), (2.0, 1.0));
    assert_eq!(metric("x_posts"), 6.0);
    assert_eq!(api.asked(), ["GET rules", "GET stream"]);
}

#[test]
fn rules_that_somebody_removed_are_made_again() {
    let none = json!({"title": "ConnectionException", "connection_issue": "RuleConfigurationIssue",
        "detail": "You must define rules before connecting to the stream"});
    let conflict = Answer::Status("409 Conflict", "", none.to_string());
    let api = Api::start([conflict, Answer::Stream(posts([1]))]);
    let mut stage = source(&api, json!({"on_close": "finish"}));
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (1, None));
    assert_eq!(
        api.asked(),
        [
            "GET rules",
            "POST rules?dry_run=true",
            "POST rules",
            "GET stream",
            "GET rules",
            "GET stream"
        ]
    );
    assert_eq!(common::sleeps(stage.host()), [5.0]);
    assert!(
        log(stage.host())
            .iter()
            .any(|l| l.contains("must define rules"))
    );
}

#[test]
fn faults_of_the_rules_endpoint_are_waited_for_like_those_of_the_stream() {
    let api = Api::start([Answer::Stream(posts([1]))]);
    api.state().rules_faults = [
        status("503 Service Unavailable"),
        Answer::Status(
            "429 Too Many Requests",
            "Retry-After: 100\r\n",
            String::new(),
        ),
        Answer::Status("200 OK", "", "no JSON".into()),
    ]
    .into();
    let mut stage = source(&api, json!({"on_close": "finish"}));
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (1, None));
    assert_eq!(common::sleeps(stage.host()), [5.0, 100.0, 0.25]);
}
