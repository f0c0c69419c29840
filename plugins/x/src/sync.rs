//! Brings the rules of an account in step with the options, by the fewest requests: one if they
//! are already. A dry run comes before any change, so that a wrong rule changes nothing.

use std::collections::HashMap;

use live::{End, Refusal, printable, reason};
use plugin_api::{Context, StageError};
use reqwest::{RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};

use crate::request::Requests;
use crate::rules::{self, Changes, Existing, Origin, Wanted};

/// The most that an answer may have; a thousand rules of 4,096 characters are less.
const MAX_BYTES: usize = 32 << 20;
/// No account has so many pages of rules.
const MAX_PAGES: usize = 64;

/// The rules of ours that are in force, by id.
pub(crate) type InForce = HashMap<Vec<u8>, Origin>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    data: Vec<Existing>,
    errors: Vec<Problem>,
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    next_token: Option<String>,
}

/// Why X does not take a rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    value: Option<String>,
    title: String,
    detail: Option<String>,
    details: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Add(Vec<Existing>),
    Delete(Ids),
}

/// A change that X only tries.
#[derive(Clone, Copy)]
struct DryRun {
    /// At least as many rules go before it as it brings.
    makes_room: bool,
}

#[derive(Serialize)]
struct Ids {
    ids: Vec<String>,
}

/// # Errors
/// How the attempt to read the stream ends: with what X answered, or for a rule that it does not
/// take.
pub(crate) async fn sync(
    requests: &Requests,
    wanted: &[Wanted],
    tag: &str,
    ctx: &Context,
) -> Result<InForce, End> {
    let existing = existing(requests, ctx).await?;
    let Changes { keep, add, delete } = rules::changes(wanted, &existing, tag);
    let mut in_force: InForce = keep
        .into_iter()
        .map(|(id, origin)| (id.into_bytes(), origin))
        .collect();
    let kept = in_force.len();
    let (added, deleted) = (add.len(), delete.len());
    if !add.is_empty() {
        let dry_run = DryRun {
            makes_room: deleted >= added,
        };
        change(requests, addition(&add), Some(dry_run), &add, ctx).await?;
    }
    // First, since a rule whose tag changes is both.
    if !delete.is_empty() {
        let change_of = Change::Delete(Ids { ids: delete });
        change(requests, change_of, None, &[], ctx).await?;
    }
    if !add.is_empty() {
        for rule in change(requests, addition(&add), None, &add, ctx).await? {
            if let Some(wanted) = add.iter().find(|w| w.value == rule.value) {
                in_force.insert(rule.id.into_bytes(), wanted.origin);
            }
        }
    }
    let others = existing.len() - kept - deleted;
    ctx.info(format!(
        "rules of {}: {kept} kept, {added} added, {deleted} deleted, {others} of others left alone",
        requests.host()
    ));
    Ok(in_force)
}

fn addition(rules: &[Wanted]) -> Change {
    let new = |rule: &Wanted| Existing {
        id: String::new(),
        value: rule.value.clone(),
        tag: Some(rule.tag.clone()),
    };
    Change::Add(rules.iter().map(new).collect())
}

async fn existing(requests: &Requests, ctx: &Context) -> Result<Vec<Existing>, End> {
    let mut all = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let answer = ask(requests.rules(token.as_deref()), ctx).await?;
        all.extend(answer.data);
        token = answer.meta.next_token;
        if token.is_none() {
            break;
        }
    }
    Ok(all)
}

/// Asks for a change; the rules that it made.
async fn change(
    requests: &Requests,
    change: Change,
    dry_run: Option<DryRun>,
    rules: &[Wanted],
    ctx: &Context,
) -> Result<Vec<Existing>, End> {
    let body = serde_json::to_vec(&change)
        .map_err(|e| End::Failed(StageError::fatal(format!("rules as JSON: {e}"))))?;
    let answer = match ask(requests.change_rules(body, dry_run.is_some()), ctx).await {
        // X may refuse a request of which no rule is right.
        Err(End::Refused(refusal)) if refusal.status == 400 || refusal.status == 422 => {
            let Ok(answer) = serde_json::from_str::<Answer>(&refusal.body) else {
                return Err(End::Refused(refusal));
            };
            let is_of_rule = |problem: &Problem| problem.value.is_some() || problem.is_cap();
            if !answer.errors.iter().any(is_of_rule) {
                return Err(End::Refused(refusal));
            }
            answer
        }
        other => other?,
    };
    for problem in &answer.errors {
        // In a dry run the rules that are to go are still there.
        if let Some(DryRun { makes_room }) = dry_run
            && (problem.is_duplicate() || makes_room && problem.is_cap())
        {
            continue;
        }
        return Err(End::Failed(problem.error(rules)));
    }
    Ok(answer.data)
}

impl Problem {
    fn is_duplicate(&self) -> bool {
        self.kind.ends_with("/duplicate-rules")
    }

    fn is_cap(&self) -> bool {
        self.kind.ends_with("/rule-cap")
    }

    fn error(&self, rules: &[Wanted]) -> StageError {
        let said = self.details.first().or(self.detail.as_ref());
        let said = printable(said.unwrap_or(&self.title));
        if self.is_cap() {
            let why = format!(
                "the account may not have so many rules ({said}); remove others' rules, or give \
                 fewer"
            );
            return StageError::config("/rules", why);
        }
        let of = |rule: &&Wanted| self.value.as_ref() == Some(&rule.value);
        let rule = rules.iter().find(of);
        let pointer = match rule.map(|rule| rule.origin) {
            Some(Origin::Own(at)) => format!("/rules/{at}/value"),
            Some(Origin::Track) => "/track".into(),
            None => "/rules".into(),
        };
        let value = self.value.as_deref().map(printable).unwrap_or_default();
        StageError::config(
            &pointer,
            format!("X does not take the rule `{value}`: {said}"),
        )
    }
}

async fn ask(request: RequestBuilder, ctx: &Context) -> Result<Answer, End> {
    let unreachable = |e: reqwest::Error| End::Unreachable(reason(&e));
    let mut response = request.send().await.map_err(unreachable)?;
    if !matches!(response.status(), StatusCode::OK | StatusCode::CREATED) {
        return Err(End::Refused(Refusal::read(response, ctx).await));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            let why = format!("its answer about rules has more than {MAX_BYTES} bytes");
            return Err(End::Unreachable(why));
        }
    }
    serde_json::from_slice(&body)
        .map_err(|e| End::Unreachable(format!("its answer about rules is not readable: {e}")))
}
