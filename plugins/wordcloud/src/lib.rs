//! Plugin `wordcloud`: counts the words of a sliding window over a stream and lays the most
//! frequent ones out as a word cloud, frame by frame, for the page or for files.
#![forbid(unsafe_code)]

mod bytes;
pub mod check;
pub mod config;
pub mod draw;
mod emoji;
pub mod entities;
pub mod font;
pub mod frame;
pub mod input;
pub mod layout;
mod links;
mod maker;
pub mod mask;
pub mod palette;
mod pieces;
pub mod processor;
pub mod shape;
pub mod stop;
mod time;
pub mod token;
pub mod window;

use processor::WordCloud;

plugin_api::export_plugin! { processors: [WordCloud] }
