//! `cargo run -- pdf` prints the whole book, with whatever Chromium there is,
//! or says why it cannot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use book::expand::{self, Page};
use book::inputs;
use lopdf::Document;
use printing::devtools::Chromium;
use printing::pdf;
use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};
use running::chromium;
use running::depends::Depends;
use running::needs;
use running::programs::SECTIONS;
use running::root;
use running::supervise::{SUPERVISOR, Supervised};
use running::verified::Verified;

const PRINTER: &str = env!("CARGO_BIN_EXE_pdf");

/// For a real Chromium, and for the start of a false one.
const AMPLE: Duration = Duration::from_secs(120);

/// For an answer that never comes.
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn the_printed_book_is_whole() -> Result<()> {
    let chromium = match chromium::find() {
        Err(missing) if !needs::on_ci() => {
            eprintln!("skipped: {missing:#}");
            return Ok(());
        }
        found => found?,
    };
    let version = Chromium::start(&chromium, AMPLE)?.version().to_owned();
    let depends = Depends::default()
        .and("chromium --version", version.as_str())
        .and("the book", inputs::fingerprint(root())?)
        .and_file(root(), Path::new(PRINTER))?;
    let verified = Verified::beside(&SUPERVISOR)?;
    verified.once("the printed book", &depends, || {
        let said = print()?;
        let pages = expand::pages(root())?;
        // What the command says that it cannot do, it is not asked for.
        let outline = !said.contains("puts no outline into a PDF");
        let counts = is_whole(&root().join(pdf::FILE), &pages, outline)?;
        println!("Chromium {version}: {counts}");
        Ok(())
    })
}

/// Runs the command as the README shows it; returns what it says.
fn print() -> Result<String> {
    let outcome = Supervised::new(&*SUPERVISOR, env!("CARGO"))
        .args(["run", "--", "pdf"])
        .current_dir(root())
        .deadline(Duration::from_secs(600))
        .grace(Duration::from_secs(5))
        .run()?;
    let faults = outcome.faults_unless_exit(0);
    ensure!(
        faults.is_empty(),
        "{}\n{}",
        faults.join("\n"),
        outcome.output
    );
    Ok(outcome.output)
}

/// Checks that a print has all headings of the book in its outline, and the
/// code of the last section on the pages of that section. Returns its counts.
fn is_whole(file: &Path, book: &[Page], outline: bool) -> Result<String> {
    let bytes = fs::metadata(file)?.len();
    let pdf = Document::load(file).context("this is no PDF")?;
    let pages: Vec<u32> = pdf.get_pages().into_keys().collect();
    let mut of_section = pages.clone();
    let mut entries = 0;
    if outline {
        let toc = pdf.get_toc().context("the print has no outline")?.toc;
        entries = toc.len();
        let titles: Vec<String> =
            toc.iter().map(|it| squeezed(&it.title)).collect();
        let expected: Vec<String> = book.iter().flat_map(headings).collect();
        for (title, expected) in titles.iter().zip(&expected) {
            ensure!(title == expected, "outline: {title}, not {expected}");
        }
        ensure!(
            titles.len() == expected.len(),
            "the outline has {} entries, the book {} headings",
            titles.len(),
            expected.len()
        );
        ensure!(toc.is_sorted_by_key(|it| it.page), "entries out of order");
        let section = headings(last_section(book)?);
        let start = titles.iter().position(|it| Some(it) == section.first());
        let start = start.context("no entry for the last section")?;
        let next = toc.get(start + section.len());
        let end = next.map_or(usize::MAX, |it| it.page);
        let range = toc[start].page..=end;
        of_section.retain(|&page| range.contains(&(page as usize)));
    }
    let text = squeezed(&pdf.extract_text(&of_section)?);
    let code = last_code(last_section(book)?)?;
    for line in code.lines().filter(|line| !line.starts_with('#')) {
        ensure!(
            text.contains(&squeezed(line)),
            "the pages of the last section lack the line\n{line}"
        );
    }
    let pages = pages.len();
    Ok(format!(
        "{pages} pages, {bytes} bytes, {entries} entries in the outline"
    ))
}

fn last_section(book: &[Page]) -> Result<&Page> {
    let page = book.iter().find(|it| SECTIONS.last() == Some(&&*it.key()));
    page.context("the last section has no page")
}

/// A solution, which only paper shows without a click.
fn last_code(page: &Page) -> Result<String> {
    let fences = expand::fences(&page.expanded);
    let last = fences.into_iter().rfind(|it| it.language() == "rust");
    Ok(last.context("the last section has no program")?.text)
}

fn headings(page: &Page) -> Vec<String> {
    let mut headings = Vec::new();
    let mut open: Option<String> = None;
    for event in Parser::new(&page.expanded) {
        match event {
            Event::Start(Tag::Heading { level, .. })
                if level <= HeadingLevel::H6 =>
            {
                open = Some(String::new());
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut open {
                    heading.push_str(&squeezed(&text));
                }
            }
            Event::End(TagEnd::Heading(_)) => headings.extend(open.take()),
            _ => {}
        }
    }
    headings
}

/// Text without what depends on the layout: spaces, line ends and ligatures.
fn squeezed(text: &str) -> String {
    let text: String = text.chars().filter(|it| !it.is_whitespace()).collect();
    text.replace('\u{fb01}', "fi").replace('\u{fb02}', "fl")
}

/// What the harness says of a program that is no Chromium as it should be.
fn complaint(script: &str, patience: Duration) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("chromium");
    fs::write(&program, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let start = Instant::now();
    let complaint = match Chromium::start(&program, patience) {
        Ok(chromium) => chromium.version().to_owned(),
        Err(error) => format!("{error:#}"),
    };
    assert!(start.elapsed() < AMPLE, "took {:?}", start.elapsed());
    Ok(complaint)
}

#[test]
fn an_old_chromium_is_named_with_its_version() -> Result<()> {
    let answer = r#"{"id":1,"result":{"product":"HeadlessChrome/64.0.1"}}"#;
    let script = format!("printf '%s\\0' '{answer}' >&4; cat <&3");
    let said = complaint(&script, AMPLE)?;
    assert!(said.starts_with("Chromium 64.0.1 ("), "{said}");
    assert!(said.contains("too old: 112 or newer is needed"), "{said}");
    Ok(())
}

#[test]
fn a_chromium_that_ends_is_named_with_its_last_words() -> Result<()> {
    let said = complaint("echo no display >&2; exit 3", AMPLE)?;
    for part in ["it has ended", "exit status: 3", "no display"] {
        assert!(said.contains(part), "{said}");
    }
    Ok(())
}

#[test]
fn a_chromium_that_never_answers_is_killed_with_its_family() -> Result<()> {
    let said = complaint("echo I am slow >&2; sleep 1000 & wait", SHORT)?;
    assert!(said.contains("no answer within 300ms"), "{said}");
    assert!(said.contains("SIGKILL"), "{said}");
    // The last words are there once nobody is left who could say more.
    assert!(said.contains("I am slow"), "{said}");
    Ok(())
}

#[test]
fn a_chromium_that_speaks_another_language_is_named() -> Result<()> {
    let said = complaint("printf 'hello\\0' >&4; cat <&3", AMPLE)?;
    assert!(said.contains("cannot understand its answer"), "{said}");
    Ok(())
}
