//! Texts: references and what they stand for, secrets, words, units, paths.

use serde_json::Value as Json;

use super::value::admits;
use super::{Place, Walk, mask_strings};
use crate::config::reference::{self, Reference};
use crate::config::{Value, ValueKind};
use crate::diag::{Diagnostic, Span, did_you_mean, listed};
use crate::plan::schema::Node;

impl Walk<'_, '_> {
    pub(super) fn secret(&mut self, value: &Value, place: &Place) -> Json {
        let ValueKind::String(text) = &value.kind else {
            mask_strings(value, self.report);
            self.report.mask(value.span);
            let message = format!(
                "`{}` must be a secret, by reference, not {}",
                place.dotted,
                value.kind.name()
            );
            self.error(value.span, message);
            return Json::Null;
        };
        let reference = reference::parse(text);
        if let Reference::Literal(_) = reference {
            self.report.mask(value.span);
            let variable: String = place
                .dotted
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() {
                        c.to_ascii_uppercase()
                    } else {
                        '_'
                    }
                })
                .collect();
            self.report.push(
                Diagnostic::error(format!(
                    "`{}` is a secret and must not stand in the file",
                    place.dotted
                ))
                .at(value.span)
                .hint(format!(
                    "refer to it: \"env:{variable}\" is an environment variable, \"file:PATH\" a file"
                )),
            );
            return Json::Null;
        }
        if let Reference::Env {
            default: Some(_), ..
        } = reference
        {
            self.report.mask(value.span);
        }
        match self.looked_up(&reference, value.span, place) {
            Some(text) if text.is_empty() => {
                let message = format!(
                    "`{}` is a secret, and what it refers to is empty",
                    place.dotted
                );
                self.error(value.span, message);
                Json::Null
            }
            Some(text) => {
                self.report.secret(&text);
                Json::String(text)
            }
            // Something must stand there, or the plugin would miss the option.
            None => Json::String("not-set".to_owned()),
        }
    }

    /// What a reference stands for; nothing if it cannot be resolved.
    fn looked_up(
        &mut self,
        reference: &Reference<'_>,
        span: Span,
        place: &Place,
    ) -> Option<String> {
        if let Reference::Env {
            name,
            default: Some(default),
        } = reference
            && self.context.environment.var(name).is_none()
        {
            let taken = ((*name).to_owned(), (*default).to_owned());
            self.out.defaulted.push(taken);
        }
        match reference::resolve(reference, self.context.folder, self.context.environment) {
            Ok(text) => Some(text),
            Err(_) if self.context.lenient => None,
            Err(why) => {
                let hint = match reference {
                    Reference::Env { name, .. } => format!(
                        "set it, or write a default: \"env:{name}?DEFAULT\"; `host validate --allow-missing-secrets` checks the rest without it"
                    ),
                    _ => "`host validate --allow-missing-secrets` checks the rest without it"
                        .to_owned(),
                };
                self.report.push(
                    Diagnostic::error(format!("`{}`: {why}", place.dotted))
                        .at(span)
                        .hint(hint),
                );
                None
            }
        }
    }

    pub(super) fn string(&mut self, node: Node<'_>, raw: &str, span: Span, place: &Place) -> Json {
        let reference = reference::parse(raw);
        if let Reference::Literal(text) = reference {
            return self.text(node, text, span, place);
        }
        match self.looked_up(&reference, span, place) {
            None => {
                self.out.incomplete = true;
                Json::Null
            }
            Some(text) => match typed(node, &text) {
                // A variable is text; a number or a boolean is read from it.
                Some(kind) => self.checked(node, &Value { span, kind }, place),
                None if !admits(node, &ValueKind::String(String::new())) => {
                    let (name, wanted) = (&place.dotted, node.describe());
                    let message = format!("`{name}` must be {wanted}, and `{raw}` holds none");
                    self.error(span, message);
                    Json::Null
                }
                None => self.text(node, &text, span, place),
            },
        }
    }

    fn text(&mut self, node: Node<'_>, text: &str, span: Span, place: &Place) -> Json {
        let name = &place.dotted;
        if let Some(words) = node.words() {
            if !words.contains(&text) {
                let message = format!("`{name}` must be {}, not `{text}`", listed(&words, "or"));
                self.report.push(
                    Diagnostic::error(message)
                        .at(span)
                        .maybe_hint(did_you_mean(text, words)),
                );
            }
            return Json::String(text.to_owned());
        }
        let branches = node.branches();
        let node = match branches
            .iter()
            .find(|b| admits(b.single(), &ValueKind::String(String::new())))
        {
            Some(branch) => branch.single(),
            None => node,
        };
        if let Some(words) = node.words().filter(|w| !w.contains(&text)) {
            let wanted: Vec<String> = branches.iter().map(|b| b.describe()).collect();
            let message = format!("`{name}` must be {}, not `{text}`", wanted.join(" or "));
            self.report.push(
                Diagnostic::error(message)
                    .at(span)
                    .maybe_hint(did_you_mean(text, words)),
            );
            return Json::Null;
        }
        if !admits(node, &ValueKind::String(String::new())) {
            let message = format!("`{name}` must be {}, not a string", node.describe());
            self.error(span, message);
            return Json::Null;
        }
        self.text_rules(node, text, span, name);
        if node.is_path() && text != "-" && !text.is_empty() {
            let path = self.context.folder.join(text);
            return Json::String(path.to_string_lossy().into_owned());
        }
        Json::String(text.to_owned())
    }

    fn text_rules(&mut self, node: Node<'_>, text: &str, span: Span, name: &str) {
        let length = text.chars().count() as u64;
        let unit = match node.text("format") {
            Some("x-size") => plugin_api::ByteSize::parse(text).err(),
            Some("x-duration") => plugin_api::Span::parse(text).err(),
            _ => None,
        };
        if let Some(why) = unit {
            self.error(span, format!("`{name}`: {why}"));
        }
        let bound = |keyword| node.get(keyword).and_then(Json::as_u64);
        if bound("minLength").is_some_and(|min| length < min) {
            let message = if length == 0 {
                format!("`{name}` must not be empty")
            } else {
                format!("`{name}` is too short")
            };
            self.error(span, message);
        }
        if let Some(max) = bound("maxLength").filter(|max| length > *max) {
            self.error(
                span,
                format!("`{name}` has {length} characters, at most {max} are allowed"),
            );
        }
        if let Some(pattern) = node.text("pattern")
            && let Ok(regex) = regex::Regex::new(pattern)
            && !regex.is_match(text)
        {
            self.report.push(
                Diagnostic::error(format!(
                    "`{name}` must be {}, not `{text}`",
                    node.describe()
                ))
                .at(span)
                .maybe_hint(
                    node.text("description")
                        .and_then(|d| d.lines().next())
                        .map(str::to_owned),
                ),
            );
        }
    }
}

/// Text from a variable or file as the number or boolean that the schema wants; nothing where it
/// admits strings, or the text is none.
fn typed(node: Node<'_>, text: &str) -> Option<ValueKind> {
    if node.types().is_empty() || admits(node, &ValueKind::String(String::new())) {
        return None;
    }
    let text = text.trim();
    let kinds = [
        text.parse().ok().map(ValueKind::Integer),
        text.parse().ok().map(ValueKind::Float),
        text.parse().ok().map(ValueKind::Boolean),
    ];
    kinds.into_iter().flatten().find(|kind| admits(node, kind))
}
