//! Every claim of the book is followed by the program that proves it.
//!
//! `harness/book/claims.rs` says what form a claim has. Each claim is one test
//! here, which also runs the program.
//!
//! `SNAPSHOTS=overwrite cargo test --test claims` writes the page that lists
//! all claims anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use book::claims::{self, Claim};
use book::expand::{self, Page};
use book::includes;
use libtest_mimic::{Arguments, Failed, Trial};
use running::depends;
use running::edits;
use running::needs;
use running::programs::{self, Program, SECTIONS};
use running::supervise::{SUPERVISOR, Supervised};
use running::verified::Verified;

const DEADLINE: Duration = Duration::from_secs(30);

/// Fewer would leave pitfalls of the section unproven.
const FEWEST_CLAIMS: usize = 3;

/// A proof shows the lines that matter, not the whole program.
const MOST_LINES: usize = 24;

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let root = running::root();
    let programs = Arc::new(programs::build(root)?);
    let verified = Arc::new(Verified::beside(&SUPERVISOR)?);
    let pages = expand::pages(root)?;
    let mut trials = Vec::new();
    let mut provers: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut of_section: BTreeMap<String, usize> = BTreeMap::new();
    for page in &pages {
        let (key, section) = (page.key(), page.section());
        let claims = claims::of(page);
        let (file, count) = (page.path.clone(), claims.len());
        let mentions = claims::mentions(page);
        if count.max(mentions) == 0 {
            continue;
        }
        *of_section.entry(section).or_default() += count;
        trials.push(Trial::test(format!("{key}: {count} claims"), move || {
            all_have_the_form(&file, count, mentions)
        }));
        for claim in claims {
            if let Ok(proof) = &claim.proof {
                *provers.entry(proof.file.clone()).or_default() += 1;
            }
            let programs = Arc::clone(&programs);
            let verified = Arc::clone(&verified);
            trials.push(Trial::test(title(&claim, &key), move || {
                proven(&claim, &programs, &verified).map_err(|error| {
                    let (page, line) = (claim.page.display(), claim.line);
                    Failed::from(format!("{page}:{line}: {error:#}"))
                })
            }));
        }
    }
    for section in SECTIONS {
        let count = of_section.get(section).copied().unwrap_or_default();
        let name = format!("{section} and its pages: enough claims");
        trials.push(Trial::test(name, move || enough(section, count)));
    }
    trials.push(Trial::test("each claim has a program of its own", || {
        match provers.into_iter().find(|(_, claims)| *claims > 1) {
            Some((file, claims)) => Err(Failed::from(format!(
                "{} is the proof of {claims} claims: give each its own",
                file.display()
            ))),
            None => Ok(()),
        }
    }));
    let unbroken = unbroken(root, &pages)?;
    trials.push(Trial::test(
        "each proof has been broken",
        move || match unbroken.as_slice() {
            [] => Ok(()),
            unbroken => Err(Failed::from(unbroken.join("\n"))),
        },
    ));
    trials.push(Trial::test(
        "the page of all claims is up to date",
        move || indexed(&pages).map_err(Failed::from),
    ));
    libtest_mimic::run(&arguments, trials).exit();
}

fn title(claim: &Claim, page: &str) -> String {
    let program = match &claim.proof {
        Ok(proof) => proof.program.as_str(),
        Err(_) => "no proof",
    };
    format!("{page}: {} [{program}]", claim.text)
}

/// The page with all claims is what the other pages give.
fn indexed(pages: &[Page]) -> Result<()> {
    let file = running::root().join(claims::INDEX);
    let index = claims::index(pages)?;
    if needs::accepts() {
        return fs::write(&file, index)
            .with_context(|| format!("cannot write {}", claims::INDEX));
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    let differs = written.lines().zip(index.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(written.lines().count()) + 1;
    ensure!(
        written == index,
        "{}:{line}: is not what the claims of the pages give: write it anew \
         with SNAPSHOTS=overwrite cargo test --test claims",
        claims::INDEX
    );
    Ok(())
}

/// The claims whose proof nobody has seen fail: a check that cannot fail is
/// none. `tests/breaks.rs` runs the breaks.
fn unbroken(root: &Path, pages: &[Page]) -> Result<Vec<String>> {
    let broken: BTreeSet<PathBuf> = edits::all(root)?
        .into_iter()
        .filter(|edit| edit.kind == edits::Kind::Break)
        .map(|edit| edit.source)
        .collect();
    let claims = pages.iter().flat_map(claims::of);
    let unbroken = claims.filter_map(|claim| {
        let proof = claim.proof.ok()?;
        let (page, line) = (claim.page.display(), claim.line);
        let what = format!(
            "{page}:{line}: {} has no break: take its mechanism away in \
             listings/SECTION/breaks/{}.NAME.toml",
            proof.file.display(),
            proof.program
        );
        (!broken.contains(&proof.file)).then_some(what)
    });
    Ok(unbroken.collect())
}

fn all_have_the_form(
    page: &Path,
    claims: usize,
    mentions: usize,
) -> Result<(), Failed> {
    if mentions == claims {
        return Ok(());
    }
    Err(Failed::from(format!(
        "{}: {mentions} times **Claim:**, but only {claims} in the form of a \
         claim (> [!IMPORTANT], then > **Claim:** …)",
        page.display()
    )))
}

fn enough(section: &str, claims: usize) -> Result<(), Failed> {
    if claims >= FEWEST_CLAIMS {
        return Ok(());
    }
    Err(Failed::from(format!(
        "src/{section}.md and its pages: {claims} claims; a section has at \
         least {FEWEST_CLAIMS}"
    )))
}

fn proven(
    claim: &Claim,
    programs: &[Program],
    verified: &Verified,
) -> Result<()> {
    let proof = claim
        .proof
        .as_ref()
        .map_err(|what| anyhow::anyhow!("{what}"))?;
    ensure!(claim.text.ends_with('.'), "a claim is a sentence: end it");
    let root = running::root();
    let program = programs
        .iter()
        .find(|program| program.source == proof.file)
        .with_context(|| format!("{} is no program", proof.file.display()))?;
    ensure!(
        program.command() == proof.command,
        "its command is {:?}, not {:?}",
        program.command(),
        proof.command
    );
    ensure!(program.output() == proof.output, "the output is another's");
    let source = fs::read_to_string(root.join(&proof.file))?;
    let shown = includes::anchored(&source, &proof.anchor)
        .map_err(|what| anyhow::anyhow!("{} {what}", proof.file.display()))?;
    ensure!(
        shown.contains("assert!(") || shown.contains("assert_eq!("),
        "the lines shown of {} assert nothing",
        proof.file.display()
    );
    let lines = shown.lines().count();
    ensure!(
        lines <= MOST_LINES,
        "shows {lines} lines of {}: show the {MOST_LINES} that matter",
        proof.file.display()
    );
    if needs::is_left_out(&program.name, &source) {
        return Ok(());
    }
    let depends = depends::listing(root, program)?;
    let name = format!("proof {}", proof.program);
    verified.once(&name, &depends, || {
        let run = Supervised::new(&*SUPERVISOR, &program.executable);
        let outcome = run.deadline(DEADLINE).run()?;
        let faults = outcome.faults_unless_exit(0);
        ensure!(
            faults.is_empty(),
            "the proof fails: {}\n{}\nrepeat with: {}",
            faults.join("\n"),
            outcome.output,
            proof.command
        );
        Ok(())
    })
}
