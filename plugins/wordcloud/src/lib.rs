//! Plugin `wordcloud`.
