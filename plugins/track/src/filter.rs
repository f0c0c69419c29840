//! The predicates of one client: a tweet passes if any of `track`, `follow` and `locations` lets
//! it through.

use std::fmt;

use crate::matcher::{Scratch, Track};
use crate::message::{Kind, Message};
use crate::phrases::{self, PhraseError};

/// The most users a filter may follow.
pub const MAX_FOLLOW: usize = 5000;
/// The most boxes a filter may have.
pub const MAX_LOCATIONS: usize = 25;

/// Compiled predicates.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    track: Option<Track>,
    follow: Vec<u64>,
    locations: Vec<BoundingBox>,
}

/// A rectangle on the map, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// Western edge, -180 to 180.
    pub west: f64,
    /// Southern edge, -90 to 90.
    pub south: f64,
    /// Eastern edge, -180 to 180.
    pub east: f64,
    /// Northern edge, -90 to 90.
    pub north: f64,
}

/// A predicate's name, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predicate {
    /// `track`.
    Track,
    /// `follow`.
    Follow,
    /// `locations`.
    Locations,
    /// None was given.
    Missing,
}

/// Why predicates were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterError {
    /// The predicate at fault.
    pub predicate: Predicate,
    /// Its element at fault, counted from 0, where there is one.
    pub element: Option<usize>,
    /// True if there is too much of it (HTTP 413), false if it makes no sense (406).
    pub too_large: bool,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FilterError {}

impl From<PhraseError> for FilterError {
    fn from(error: PhraseError) -> Self {
        Self {
            predicate: Predicate::Track,
            element: error.phrase,
            too_large: error.phrase.is_none(),
            message: error.to_string(),
        }
    }
}

impl Filter {
    /// Checks and compiles predicates.
    ///
    /// # Errors
    /// When none is given, or one breaks Twitter's limits: 400 phrases of 1 to 60 bytes, 5,000
    /// users, 25 boxes.
    pub fn new<P: AsRef<str>>(
        track: &[P],
        follow: &[u64],
        locations: &[BoundingBox],
    ) -> Result<Self, FilterError> {
        if track.is_empty() && follow.is_empty() && locations.is_empty() {
            return Err(error(
                Predicate::Missing,
                "a filter needs at least one of track, follow and locations",
            ));
        }
        let limit = |predicate, given: usize, limit: usize, of: &str| {
            (given > limit).then(|| FilterError {
                too_large: true,
                ..error(
                    predicate,
                    format!("{given} {of}; Twitter allows at most {limit}"),
                )
            })
        };
        if let Some(error) = limit(
            Predicate::Follow,
            follow.len(),
            MAX_FOLLOW,
            "followed users",
        )
        .or_else(|| {
            limit(
                Predicate::Locations,
                locations.len(),
                MAX_LOCATIONS,
                "locations",
            )
        }) {
            return Err(error);
        }
        for (at, location) in locations.iter().enumerate() {
            location.check(at)?;
        }
        let mut follow = follow.to_vec();
        follow.sort_unstable();
        follow.dedup();
        Ok(Self {
            track: match track {
                [] => None,
                phrases => Some(Track::new(phrases)?),
            },
            follow,
            locations: locations.to_vec(),
        })
    }

    /// The same from request parameters, as clients send them: comma-separated lists.
    ///
    /// # Errors
    /// As [`Filter::new`], and when a number is none.
    pub fn from_params(
        track: Option<&str>,
        follow: Option<&str>,
        locations: Option<&str>,
    ) -> Result<Self, FilterError> {
        let track = phrases::split(track.unwrap_or_default());
        let mut users = Vec::new();
        for id in phrases::split(follow.unwrap_or_default()) {
            users.push(id.parse().map_err(|_| {
                error(
                    Predicate::Follow,
                    "follow takes user ids, numbers separated by commas",
                )
            })?);
        }
        let mut degrees = Vec::new();
        for number in phrases::split(locations.unwrap_or_default()) {
            degrees.push(number.parse::<f64>().map_err(|_| no_degrees())?);
        }
        let boxes = degrees.chunks(4).map(|corners| match *corners {
            [west, south, east, north] => Ok(BoundingBox {
                west,
                south,
                east,
                north,
            }),
            _ => Err(no_degrees()),
        });
        Self::new(&track, &users, &boxes.collect::<Result<Vec<_>, _>>()?)
    }

    /// Whether a message passes. `message` must have been read with [`crate::Detail::Filter`].
    /// Messages that are no tweets never do.
    pub fn matches(&self, message: &Message<'_>, scratch: &mut Scratch) -> bool {
        if message.kind != Kind::Tweet {
            return false;
        }
        let follows =
            |user: Option<u64>| user.is_some_and(|user| self.follow.binary_search(&user).is_ok());
        (!self.follow.is_empty()
            && (follows(message.user)
                || follows(message.retweeted_user)
                || follows(message.reply_to_user)))
            || self.is_in_a_box(message)
            || self
                .track
                .as_ref()
                .is_some_and(|track| track.matches(message.text, scratch))
    }

    /// A tweet's own coordinates decide; only without them does its place.
    fn is_in_a_box(&self, message: &Message<'_>) -> bool {
        let region = match (message.point, message.place) {
            (Some((lon, lat)), _) => BoundingBox {
                west: lon,
                south: lat,
                east: lon,
                north: lat,
            },
            (None, Some(place)) => place,
            (None, None) => return false,
        };
        self.locations.iter().any(|wanted| wanted.overlaps(&region))
    }
}

impl BoundingBox {
    fn check(&self, at: usize) -> Result<(), FilterError> {
        let on_the_map = (-180.0..=180.0).contains(&self.west)
            && (-180.0..=180.0).contains(&self.east)
            && (-90.0..=90.0).contains(&self.south)
            && (-90.0..=90.0).contains(&self.north);
        if on_the_map && self.west < self.east && self.south < self.north {
            return Ok(());
        }
        Err(FilterError {
            element: Some(at),
            ..error(
                Predicate::Locations,
                format!(
                    "location {} is no box: the south-west corner comes first, longitude before latitude",
                    at + 1
                ),
            )
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.west <= other.east
            && other.west <= self.east
            && self.south <= other.north
            && other.south <= self.north
    }
}

fn error(predicate: Predicate, message: impl Into<String>) -> FilterError {
    FilterError {
        predicate,
        element: None,
        too_large: false,
        message: message.into(),
    }
}

fn no_degrees() -> FilterError {
    error(
        Predicate::Locations,
        "locations takes boxes of four degrees each: west, south, east, north",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Detail, Reader};

    fn passes(filter: &Filter, json: &str) -> bool {
        let mut reader = Reader::new(Detail::Filter);
        filter.matches(
            &reader.read(json.as_bytes()).unwrap(),
            &mut Scratch::default(),
        )
    }

    #[test]
    fn follow_finds_authors_retweets_and_replies() {
        let filter = Filter::from_params(None, Some("7,9"), None).unwrap();
        assert!(passes(&filter, r#"{"id":1,"text":"","user":{"id":9}}"#));
        assert!(passes(
            &filter,
            r#"{"id":1,"text":"","user":{"id":1},"retweeted_status":{"id":2,"text":"","user":{"id":7}}}"#
        ));
        assert!(passes(
            &filter,
            r#"{"id":1,"text":"","user":{"id":1},"in_reply_to_user_id":7}"#
        ));
        assert!(!passes(
            &filter,
            r#"{"id":7,"text":"7","user":{"id":1},"quoted_status":{"id":2,"text":"","user":{"id":7}}}"#
        ));
        assert!(!passes(
            &filter,
            r#"{"delete":{"status":{"id":7,"user_id":7}}}"#
        ));
    }

    #[test]
    fn locations_look_at_coordinates_then_at_the_place() {
        let filter = Filter::from_params(None, None, Some("-122.75,36.8,-121.75,37.8")).unwrap();
        let point = |lon: f64, lat: f64| {
            format!(
                r#"{{"id":1,"text":"","coordinates":{{"type":"Point","coordinates":[{lon},{lat}]}}}}"#
            )
        };
        assert!(passes(&filter, &point(-122.0, 37.0)));
        assert!(!passes(&filter, &point(37.0, -122.0)));
        let place = r#""place":{"bounding_box":{"type":"Polygon","coordinates":[[[-123,37],[-122,37],[-122,38],[-123,38]]]}}"#;
        assert!(passes(
            &filter,
            &format!(r#"{{"id":1,"text":"","coordinates":null,{place}}}"#)
        ));
        assert!(!passes(
            &filter,
            &format!(r#"{{"id":1,"text":"","coordinates":{{"coordinates":[0,0]}},{place}}}"#)
        ));
        assert!(!passes(&filter, r#"{"id":1,"text":"","place":null}"#));
    }

    #[test]
    fn wrong_predicates_are_named() {
        let wrong = |track, follow, locations| {
            let e = Filter::from_params(track, follow, locations).unwrap_err();
            (e.predicate, e.element, e.too_large)
        };
        assert_eq!(wrong(None, None, None), (Predicate::Missing, None, false));
        assert_eq!(
            wrong(Some(" ,"), None, None),
            (Predicate::Missing, None, false)
        );
        assert_eq!(
            wrong(None, Some("x"), None),
            (Predicate::Follow, None, false)
        );
        assert_eq!(
            wrong(None, None, Some("1,2,3")),
            (Predicate::Locations, None, false)
        );
        assert_eq!(
            wrong(None, None, Some("5,2,3,4")),
            (Predicate::Locations, Some(0), false)
        );
        assert_eq!(
            wrong(None, None, Some("NaN,2,3,4")),
            (Predicate::Locations, Some(0), false)
        );
        let many = vec!["a"; 401].join(",");
        assert_eq!(
            wrong(Some(&many), None, None),
            (Predicate::Track, None, true)
        );
        let many = vec!["1"; 5001].join(",");
        assert_eq!(
            wrong(None, Some(&many), None),
            (Predicate::Follow, None, true)
        );
        let many = vec!["1,1,2,2"; 26].join(",");
        assert_eq!(
            wrong(None, None, Some(&many)),
            (Predicate::Locations, None, true)
        );
    }
}
