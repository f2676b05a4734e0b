//! The book's pages, as written and with every include resolved.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use mdbook_driver::book::Chapter;
use mdbook_driver::builtin_renderers::MarkdownRenderer;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// One page of the book.
pub struct Page {
    /// Path from the book's root, for example `src/naming_process.md`.
    pub path: PathBuf,
    /// The Markdown as its author wrote it.
    pub source: String,
    /// The Markdown as mdBook renders it: every include is resolved.
    pub expanded: String,
}

impl Page {
    /// Its path in `src` without the ending, for example `naming_process` or
    /// `naming_process/logs`.
    pub fn key(&self) -> String {
        let inside = self.path.strip_prefix("src").unwrap_or(&self.path);
        inside.with_extension("").to_string_lossy().into_owned()
    }

    /// Where it is built, for example `naming_process/logs.html`.
    pub fn html(&self) -> String {
        format!("{}.html", self.key())
    }

    /// The page that it is about a subject of, or itself: `naming_process`.
    pub fn section(&self) -> String {
        let key = self.key();
        key.split_once('/')
            .map_or(key.clone(), |it| it.0.to_owned())
    }
}

/// One fenced code block.
pub struct Fence {
    /// Line of the opening fence, counted from 1.
    pub line: usize,
    /// What follows the opening backticks, for example `rust,should_panic`.
    pub info: String,
    pub text: String,
}

impl Fence {
    /// First word of the info string.
    pub fn language(&self) -> &str {
        self.info
            .split([',', ' '])
            .next()
            .unwrap_or_default()
            .trim()
    }

    /// Whether the info string carries `tag`, for example `should_panic`.
    pub fn has(&self, tag: &str) -> bool {
        self.info.split([',', ' ']).any(|part| part.trim() == tag)
    }
}

/// Reads every page in the order of `SUMMARY.md`.
///
/// # Errors
/// If `book.toml`, `SUMMARY.md` or a page is missing or not valid. A missing
/// include is no error here, because mdBook does not report one: see
/// [`crate::includes`].
pub fn pages(root: &Path) -> Result<Vec<Page>> {
    expand(root, |_| {})
}

/// The pages with the whole program around every piece of a listing, also
/// where a page includes the piece alone: what a compiler can take.
///
/// # Errors
/// Those of [`pages`].
pub fn programs(root: &Path) -> Result<Vec<Page>> {
    expand(root, |chapter| {
        let lines = chapter.content.lines().map(|line| {
            let piece =
                line.starts_with("{{#include ") && line.contains(".rs:");
            match piece {
                true => line.replacen("include", "rustdoc_include", 1) + "\n",
                false => line.to_owned() + "\n",
            }
        });
        chapter.content = lines.collect();
    })
}

fn expand(root: &Path, change: fn(&mut Chapter)) -> Result<Vec<Page>> {
    let mut book = MDBook::load(root).context("cannot load the book")?;
    book.book.for_each_chapter_mut(change);
    let source_dir = book.source_dir();
    let (expanded, _) = book
        .preprocess_book(&MarkdownRenderer::new())
        .context("cannot resolve the book's includes")?;
    expanded
        .chapters()
        .filter_map(|chapter| Some((chapter, chapter.source_path.as_ref()?)))
        .map(|(chapter, relative)| {
            let file = source_dir.join(relative);
            let path = file.strip_prefix(root).unwrap_or(&file).to_owned();
            let source = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let expanded = chapter.content.clone();
            Ok(Page {
                path,
                source,
                expanded,
            })
        })
        .collect()
}

/// Every fenced code block of `markdown`, in order.
pub fn fences(markdown: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (event, range) in Parser::new(markdown).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                open = Some(Fence {
                    line: line_at(markdown, range.start),
                    info: info.to_string(),
                    text: String::new(),
                });
            }
            Event::Text(text) => {
                if let Some(fence) = &mut open {
                    fence.text.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => fences.extend(open.take()),
            _ => {}
        }
    }
    fences
}

/// The line, counted from 1, of the byte at `offset`.
pub fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}
