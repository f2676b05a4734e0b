//! Printing the book, by a Chromium that is driven over its DevTools protocol.
//!
//! It uses the book's wing for the pages. No other wing needs Chromium.

pub mod devtools;
pub mod pdf;
