//! Every Rust block of the book compiles and runs, exactly as a page shows
//! it, hidden lines included.
//!
//! skeptic finds the blocks in the pages, once every include is resolved and
//! the whole program stands around each piece, and writes a test for each.
//! What such a test would compile and run is compiled here in one go, under
//! the edition that skeptic takes, and run under supervision: skeptic itself
//! has no time limit and takes no notice of processes that a block leaves
//! behind.

mod asked;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use asked::is_asked;
use book::expand::{self, Page};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use running::batch::{self, Built, Collection, Source};
use running::depends::{self, Depends};
use running::needs;
use running::programs;
use running::supervise::{SUPERVISOR, Supervised};
use running::verified::Verified;

const DEADLINE: Duration = Duration::from_secs(30);

/// skeptic compiles a block as this, whatever Cargo.toml says.
const COLLECTION: Collection = Collection {
    name: "blocks",
    edition: Some("2021"),
    lines: false,
};

/// Set for the start of this executable that calls skeptic, which speaks to
/// Cargo on standard output and is told everything by the environment.
const GENERATE: &str = "MULTIPROCESSING_IN_RUST_GENERATE";

/// A Rust block of the book.
#[derive(Clone)]
struct Block {
    /// The name of its test.
    name: String,
    page: PathBuf,
    line: usize,
    /// Whose program it shows.
    section: String,
    /// Whether it is marked `should_panic`: the starter of an exercise.
    must_fail: bool,
    /// What its processes may take to end after it.
    grace: Duration,
    code: String,
}

fn main() -> Result<()> {
    if env::var_os(GENERATE).is_some() {
        let pages: Vec<PathBuf> =
            env::args_os().skip(1).map(PathBuf::from).collect();
        skeptic::generate_doc_tests(&pages);
        return Ok(());
    }
    let mut arguments = Arguments::from_args();
    // Most of them wait for most of their time.
    arguments
        .test_threads
        .get_or_insert_with(|| 8 * needs::cores());
    let root = running::root();
    let verified = Arc::new(Verified::beside(&SUPERVISOR)?);
    let blocks = blocks(root)?;
    // Several blocks show pieces of one program, which is the same program
    // once its hidden lines are counted.
    let mut programs: BTreeMap<(String, bool), String> = BTreeMap::new();
    for block in &blocks {
        programs
            .entry((block.code.clone(), block.must_fail))
            .or_insert_with(|| format!("block_{}", block.name));
    }
    let mut open = BTreeMap::new();
    for block in &blocks {
        let source = source(block, &programs);
        if is_asked(&arguments, &block.name)
            && !verified.holds(kind(block), &depends(root, block)?)
        {
            open.insert(source.name.clone(), source);
        }
    }
    let built = match arguments.list {
        true => Built::new(),
        false => {
            let open: Vec<Source> = open.into_values().collect();
            batch::build(root, &SUPERVISOR, COLLECTION, &open)?
        }
    };
    let built = Arc::new(built);
    let ended: BTreeMap<&String, Arc<Ended>> = programs
        .values()
        .map(|name| (name, Arc::default()))
        .collect();
    let trials = blocks.into_iter().map(|block| {
        let (built, verified) = (Arc::clone(&built), Arc::clone(&verified));
        let program = source(&block, &programs).name;
        let ended = Arc::clone(&ended[&program]);
        Trial::test(block.name.clone(), move || {
            let depends = depends(root, &block)?;
            verified.once(kind(&block), &depends, || {
                verify(&block, &built, &program, &ended)
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn source(
    block: &Block,
    programs: &BTreeMap<(String, bool), String>,
) -> Source {
    Source {
        section: block.section.clone(),
        name: programs[&(block.code.clone(), block.must_fail)].clone(),
        text: block.code.clone(),
        is_alone: false,
    }
}

/// A name for the page in one folder with all others.
fn file_name(page: &Page) -> String {
    page.key().replace('/', "__")
}

fn kind(block: &Block) -> &'static str {
    match block.must_fail {
        true => "failing block",
        false => "block",
    }
}

fn depends(root: &Path, block: &Block) -> Result<Depends> {
    depends::block(root, &block.section, &block.code)
}

/// How the program of a block ended, once it has been run for one of them.
type Ended = OnceLock<Result<(), String>>;

fn verify(
    block: &Block,
    built: &Built,
    program: &str,
    ended: &Ended,
) -> Result<(), Failed> {
    if needs::is_left_out(&block.name, &block.code) {
        return Ok(());
    }
    let ended = ended.get_or_init(|| run(built, program, block));
    ended.clone().map_err(|faults| {
        Failed::from(format!(
            "{}:{}: {faults}\n\
             repeat with: cargo test --test blocks -- --exact {}",
            block.page.display(),
            block.line,
            block.name
        ))
    })
}

/// Runs a program; the error says what is wrong with it.
fn run(built: &Built, program: &str, block: &Block) -> Result<(), String> {
    let executable = built.get(program).ok_or("was not compiled")?.as_ref()?;
    let outcome = Supervised::new(&*SUPERVISOR, executable)
        .deadline(DEADLINE)
        .grace(block.grace)
        .run()
        .map_err(|error| format!("{error:#}"))?;
    let faults =
        outcome.faults_unless_exit(if block.must_fail { 1 } else { 0 });
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\n{}", faults.join("\n"), outcome.output)),
    }
}

/// The blocks as skeptic finds them, with their places in the Markdown that
/// their authors wrote.
fn blocks(root: &Path) -> Result<Vec<Block>> {
    let pages = expand::programs(root)?;
    let tests = skeptics_tests(root, &pages)?;
    let places: Vec<_> = pages.iter().flat_map(places).collect();
    ensure!(
        tests.len() == places.len(),
        "skeptic finds {} Rust blocks, the pages have {}",
        tests.len(),
        places.len()
    );
    let declared = programs::all_declared(root)?;
    let blocks = places.into_iter().zip(tests).map(|(place, test)| {
        let (page, line, name, section, program) = place;
        let declared = declared.get(section.as_str());
        let grace = declared.map_or(Duration::ZERO, |it| it.grace(&program));
        Block {
            name,
            page,
            line,
            section,
            must_fail: test.must_fail,
            grace,
            code: test.code,
        }
    });
    Ok(blocks.collect())
}

/// Page, line, name, section and program of each Rust block.
fn places(page: &Page) -> Vec<(PathBuf, usize, String, String, String)> {
    let listing = Regex::new(r"listings/(\w+)/(?:\w+/)*(\w+)\.rs");
    let listing = listing.expect("a constant");
    expand::fences(&page.source)
        .iter()
        .filter(|fence| fence.language() == "rust")
        .map(|fence| {
            let found = listing.captures(&fence.text);
            let (section, program) =
                found.map_or(("", ""), |it| it.extract::<2>().1.into());
            let program = if program == "main" { section } else { program };
            (
                page.path.clone(),
                fence.line,
                format!("{}_line_{}", file_name(page), fence.line),
                section.to_owned(),
                program.to_owned(),
            )
        })
        .collect()
}

/// What one of skeptic's tests compiles and runs.
struct SkepticsTest {
    must_fail: bool,
    code: String,
}

fn skeptics_tests(root: &Path, pages: &[Page]) -> Result<Vec<SkepticsTest>> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let mut files: Vec<OsString> = Vec::new();
    for page in pages {
        let file = folder.path().join(format!("{}.md", file_name(page)));
        fs::write(&file, &page.expanded)?;
        files.push(file.into());
    }
    let output = Command::new(env::current_exe()?)
        .args(files)
        .env(GENERATE, "1")
        .env("OUT_DIR", folder.path())
        .env("CARGO_MANIFEST_DIR", root)
        .env("TARGET", "")
        .stdin(Stdio::null())
        .output()
        .context("cannot start this test again")?;
    ensure!(
        output.status.success(),
        "skeptic failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let generated = fs::read_to_string(folder.path().join("skeptic-tests.rs"))
        .context("cannot read what skeptic generated")?;
    parse(&generated)
}

/// skeptic writes the code as a raw string with four hashes, behind one that
/// holds the template, and calls `run_test` with it.
fn parse(generated: &str) -> Result<Vec<SkepticsTest>> {
    let mut tests = Vec::new();
    let mut rest = generated;
    while let Some((before, after)) = rest.split_once("#[test] fn ") {
        let understood = || "skeptic's tests have another form than expected";
        let (_, after) = after
            .split_once("{}\"####, r####\"")
            .with_context(understood)?;
        let (code, after) =
            after.split_once("\"####);\n").with_context(understood)?;
        ensure!(
            after.trim_start().starts_with("skeptic::rt::run_test("),
            "skeptic would not run this block:\n{code}"
        );
        tests.push(SkepticsTest {
            must_fail: before.trim_end().ends_with("#[should_panic]"),
            code: code.to_owned(),
        });
        rest = after;
    }
    Ok(tests)
}
