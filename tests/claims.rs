//! Every claim of the book is followed by the program that proves it.
//!
//! A claim is one sentence in a callout that begins with **Claim:**. The
//! figure right under it shows lines of a program of its own, with an
//! assertion among them; the command and the recorded output follow. Each
//! claim is one test here, which also runs the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::expand::{self, Page};
use harness::includes;
use harness::needs;
use harness::programs::{self, Program, SECTIONS};
use harness::supervise::Supervised;
use harness::verified::Verified;
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");
const DEADLINE: Duration = Duration::from_secs(30);

/// Fewer would leave pitfalls of the section unproven.
const FEWEST_CLAIMS: usize = 3;

/// A proof shows the lines that matter, not the whole program.
const MOST_LINES: usize = 24;

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns are constants of this file")
}

/// A callout, whatever follows it.
static CLAIM: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?m)^> \[!IMPORTANT\]\n(?<text>> \*\*Claim:\*\*(?:.*\n)(?:>.*\n)*)",
    )
});
static ANY_CLAIM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^.*\*\*Claim:\*\*"));

/// What has to follow a claim.
static PROOF: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"^\n<figure class="listing" id="listing-(?<program>[^"]+)">\n"#,
        r"<figcaption>[^\n]*</figcaption>\n\n",
        r"```rust\n\{\{#rustdoc_include \.\./(?<file>[^:}]+):(?<anchor>[^}]+)\}\}\n```\n\n",
        r"</figure>\n\n",
        r"```sh\n(?<command>[^\n]+)\n```\n\n",
        r"```text\n\{\{#include \.\./(?<output>[^:}]+):2:\}\}\n```\n",
    ))
});

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = Arc::new(programs::build(root)?);
    let verified = Arc::new(Verified::beside(Path::new(SUPERVISOR))?);
    let pages = expand::pages(root)?;
    let mut trials = Vec::new();
    let mut provers: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for section in SECTIONS {
        let page = pages.iter().find(|page| page.stem() == section);
        let page = page.with_context(|| format!("no page of {section}"))?;
        let claims = claims(page);
        let (file, count) = (page.path.clone(), claims.len());
        trials.push(Trial::test(format!("{section}: {count} claims"), {
            let mentions = ANY_CLAIM.find_iter(&page.source).count();
            move || enough(&file, count, mentions)
        }));
        for claim in claims {
            if let Ok(proof) = &claim.proof {
                *provers.entry(proof.file.clone()).or_default() += 1;
            }
            let programs = Arc::clone(&programs);
            let verified = Arc::clone(&verified);
            trials.push(Trial::test(claim.title(section), move || {
                proven(&claim, &programs, &verified).map_err(|error| {
                    let (page, line) = (claim.page.display(), claim.line);
                    Failed::from(format!("{page}:{line}: {error:#}"))
                })
            }));
        }
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
    libtest_mimic::run(&arguments, trials).exit();
}

/// One claim of a page.
struct Claim {
    page: PathBuf,
    line: usize,
    text: String,
    proof: Result<Proof, String>,
}

/// The program under a claim.
#[derive(Clone)]
struct Proof {
    program: String,
    file: PathBuf,
    anchor: String,
    command: String,
    output: PathBuf,
}

impl Claim {
    fn title(&self, section: &str) -> String {
        let program = match &self.proof {
            Ok(proof) => proof.program.as_str(),
            Err(_) => "no proof",
        };
        format!("{section}: {} [{program}]", self.text)
    }
}

fn claims(page: &Page) -> Vec<Claim> {
    let found = CLAIM.captures_iter(&page.source);
    found
        .map(|found| {
            let whole = found.get(0).expect("a match has a whole");
            let text = found["text"].replace("\n>", "\n");
            let text = text.trim_start_matches("> **Claim:**");
            let words: Vec<&str> = text.split_whitespace().collect();
            let after = &page.source[whole.end()..];
            Claim {
                page: page.path.clone(),
                line: expand::line_at(&page.source, whole.start()),
                text: words.join(" "),
                proof: proof(after),
            }
        })
        .collect()
}

fn proof(after: &str) -> Result<Proof, String> {
    let found = PROOF.captures(after).ok_or(
        "the claim is not followed by its proof: a figure with lines of a \
         program, the command, and the output",
    )?;
    Ok(Proof {
        program: found["program"].to_owned(),
        file: PathBuf::from(&found["file"]),
        anchor: found["anchor"].to_owned(),
        command: found["command"].to_owned(),
        output: PathBuf::from(&found["output"]),
    })
}

fn enough(page: &Path, claims: usize, mentions: usize) -> Result<(), Failed> {
    if mentions != claims {
        return Err(Failed::from(format!(
            "{}: {mentions} times **Claim:**, but only {claims} in the form \
             of a claim (> [!IMPORTANT], then > **Claim:** …)",
            page.display()
        )));
    }
    if claims < FEWEST_CLAIMS {
        return Err(Failed::from(format!(
            "{}: {claims} claims; a section has at least {FEWEST_CLAIMS}",
            page.display()
        )));
    }
    Ok(())
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
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
    let executable = fs::read(&program.executable)?;
    let name = format!("proof {}", proof.program);
    verified.once(&name, &[&executable], || {
        let run = Supervised::new(SUPERVISOR, &program.executable);
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
