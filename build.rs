//! Hands every Rust block of the book to skeptic, with all includes resolved
//! and, where a page shows a piece of a program, the program around it.
//!
//! skeptic writes one test per block. This script then points each test at
//! the guard in `tests/blocks.rs` and names it after the page and line of the
//! Markdown that its author wrote, not of the expanded copy.

#[path = "harness/expand.rs"]
#[allow(dead_code)]
mod expand;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use expand::Page;

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in ["build.rs", "book.toml", "src", "listings"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    let tests = match block_tests(&root, &out) {
        Ok(tests) => tests,
        // The reader's command must still compile to say what is wrong, so a
        // broken book is a failing test and not a failing build.
        Err(error) => format!(
            "#[test] fn the_book_loads() {{ panic!(\"{{}}\", {:?}); }}\n",
            format!("{error:#}")
        ),
    };
    write_if_changed(&out.join("blocks.rs"), &tests)
}

fn block_tests(root: &Path, out: &Path) -> Result<String> {
    let pages = expand::programs(root)?;
    let folder = out.join("pages");
    fs::create_dir_all(&folder)?;
    let mut expanded = Vec::new();
    let mut blocks = Vec::new();
    for page in &pages {
        let file = folder.join(format!("{}.md", page.stem()));
        write_if_changed(&file, &page.expanded)?;
        expanded.push(file);
        blocks.extend(rust_blocks(page));
    }
    skeptic::generate_doc_tests(&expanded);
    let generated = fs::read_to_string(out.join("skeptic-tests.rs"))
        .context("cannot read what skeptic generated")?;
    under_guard(&generated, &blocks)
}

/// A Rust block's place in the Markdown.
struct Block {
    name: String,
    page: String,
    line: usize,
}

fn rust_blocks(page: &Page) -> Vec<Block> {
    expand::fences(&page.source)
        .iter()
        .filter(|fence| fence.language() == "rust")
        .map(|fence| Block {
            name: format!("{}_line_{}", page.stem(), fence.line),
            page: page.path.display().to_string(),
            line: fence.line,
        })
        .collect()
}

/// Rewrites skeptic's tests so that each calls the guard with its place.
fn under_guard(generated: &str, blocks: &[Block]) -> Result<String> {
    let mut tests = String::new();
    let mut blocks = blocks.iter();
    let mut current: Option<&Block> = None;
    let mut must_fail = false;
    for line in generated.lines() {
        if line == "extern crate skeptic;" {
            continue;
        }
        if line == "#[should_panic]" {
            must_fail = true;
            continue;
        }
        if line.starts_with("#[test] fn ") && line.ends_with("() {") {
            let block = blocks.next().context(
                "skeptic found more Rust blocks than the pages have",
            )?;
            writeln!(tests, "#[test] fn {}() {{", block.name)?;
            current = Some(block);
            continue;
        }
        if let (Some(block), Some(call)) =
            (current, line.strip_prefix("    skeptic::rt::run_test("))
        {
            writeln!(
                tests,
                "    guarded(&Block {{ name: {:?}, page: {:?}, line: {}, \
                 must_fail: {must_fail} }}, {call}",
                block.name, block.page, block.line
            )?;
            (current, must_fail) = (None, false);
            continue;
        }
        writeln!(tests, "{line}")?;
    }
    ensure!(
        blocks.next().is_none(),
        "skeptic found fewer Rust blocks than the pages have"
    );
    Ok(tests)
}

/// Leaves an unchanged file untouched: Cargo goes by the modification time.
fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text)
        .with_context(|| format!("cannot write {}", path.display()))
}
