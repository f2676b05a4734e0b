//! Sentences that have to be read twice are rare: long ones, those that open
//! with a word for something else, and those with two colons.
//!
//! `cargo test --test book -- --nocapture sentences` prints the counts of all
//! pages. A number is no proof that a page can be understood; a page with many
//! of these was not.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::pages::is_in_chapter;
use crate::{PAGES, pattern, problem, report};

/// More words are not kept in mind.
const LONG: usize = 30;

/// What a sentence begins with that says "look back".
const BACKWARD: [&str; 6] = ["It", "This", "That", "One", "The same", "Its"];

/// On a page of the chapter at most so many of a hundred sentences are long,
/// or begin like that.
const MOST_LONG: usize = 3;
const MOST_BACKWARD: usize = 4;

#[test]
fn sentences_are_read_once() {
    let mut problems = Vec::new();
    for page in PAGES.iter() {
        let sentences = sentences(&page.source);
        let words = |it: &String| it.split_whitespace().count();
        let begins = |it: &&String| {
            BACKWARD.iter().any(|word| {
                it.strip_prefix(word).is_some_and(|rest| {
                    !rest.starts_with(|it: char| it.is_alphanumeric())
                })
            })
        };
        let long: Vec<_> =
            sentences.iter().filter(|it| words(it) > LONG).collect();
        let backward: Vec<_> = sentences.iter().filter(begins).collect();
        let colons: Vec<_> = sentences
            .iter()
            .filter(|it| it.matches(": ").count() > 1)
            .collect();
        println!(
            "{}: {} sentences, {} long, {} that look back, {} with two colons",
            page.key(),
            sentences.len(),
            long.len(),
            backward.len(),
            colons.len()
        );
        if !is_in_chapter(&page.section()) {
            continue;
        }
        let most =
            |of_hundred: usize| (sentences.len() * of_hundred).div_ceil(100);
        let counts = [
            (long, most(MOST_LONG), "are longer than 30 words"),
            (backward, most(MOST_BACKWARD), "begin with it, this, that"),
            (colons, 0, "have two colons"),
        ];
        for (found, most, what) in counts {
            if found.len() > most {
                let list: Vec<_> =
                    found.iter().map(|it| format!("\n    {it}")).collect();
                let what = format!(
                    "{} sentences {what}, {most} at most:{}",
                    found.len(),
                    list.concat()
                );
                problems.push(problem(&page.path, 1, what));
            }
        }
    }
    report(&problems);
}

/// The sentences of a page's paragraphs and lists, a word for each piece of
/// code.
fn sentences(markdown: &str) -> Vec<String> {
    let end = pattern(r#"([.!?])\s+(["(\[]?[A-Z])"#);
    let mut sentences = Vec::new();
    let mut text = String::new();
    // In a block of code, a heading, a table or raw HTML.
    let mut outside = 0;
    let mut flush = |text: &mut String| {
        let marked = end.replace_all(text, "$1\n$2").into_owned();
        let marked = marked.replace("[!IMPORTANT] Claim: ", "");
        let found = marked.lines().map(|it| it.trim().to_owned());
        sentences.extend(found.filter(|it| !it.is_empty()));
        text.clear();
    };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(
                Tag::CodeBlock(_) | Tag::Heading { .. } | Tag::Table(_),
            ) => outside += 1,
            Event::End(
                TagEnd::CodeBlock | TagEnd::Heading(_) | TagEnd::Table,
            ) => outside -= 1,
            Event::Text(part) if outside == 0 => text.push_str(&part),
            Event::Code(_) if outside == 0 => text.push_str("code"),
            Event::SoftBreak | Event::HardBreak => text.push(' '),
            Event::End(TagEnd::Paragraph | TagEnd::Item) => flush(&mut text),
            Event::Html(_) => text.clear(),
            _ => {}
        }
    }
    flush(&mut text);
    sentences
}
