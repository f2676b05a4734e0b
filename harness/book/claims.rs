//! The claims of the pages and the programs that prove them.
//!
//! A claim is one sentence in a callout that begins with **Claim:**. The
//! figure right under it shows lines of a program of its own, with an
//! assertion among them; the command and the recorded output follow.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use regex::Regex;

use crate::expand::{self, Page};

/// The page that lists all claims, from the book's root.
pub const INDEX: &str = "src/claims.md";

const INDEX_TOP: &str = "\
# Claims and Their Proofs

Each sentence here is a claim of the book, and most of them name a pitfall. Behind each stands the listing that proves it: a program \
that asserts the claim and that `cargo test` runs. Look here when a program does what you did not expect, or read down the list \
before you write one of your own.
";

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
    LazyLock::new(|| pattern(r"(?m)^> .*\*\*Claim\b"));

/// What has to follow a claim.
static PROOF: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"^\n<figure class="listing" id="listing-(?<program>[^"]+)">\n"#,
        r"<figcaption><a [^>]*>(?<number>[^<]*)</a>[^\n]*</figcaption>\n\n",
        r"```rust\n\{\{#(?:rustdoc_)?include (?:\.\./)+(?<file>[^:}]+):(?<anchor>[^}]+)\}\}\n```\n\n",
        r"</figure>\n\n",
        r"```sh\n(?<command>[^\n]+)\n```\n\n",
        r"```text\n\{\{#include (?:\.\./)+(?<output>[^:}]+):2:\}\}\n```\n",
    ))
});

static TITLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^# (?<title>.+)$"));

/// One claim of a page.
pub struct Claim {
    pub page: PathBuf,
    pub line: usize,
    pub text: String,
    /// Or what is wrong with what follows the claim.
    pub proof: Result<Proof, String>,
}

/// The program under a claim.
#[derive(Clone)]
pub struct Proof {
    pub program: String,
    /// For example `Listing 4-4`.
    pub number: String,
    pub file: PathBuf,
    pub anchor: String,
    pub command: String,
    pub output: PathBuf,
}

/// Every claim of `page`, in order.
pub fn of(page: &Page) -> Vec<Claim> {
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
        number: found["number"].to_owned(),
        file: PathBuf::from(&found["file"]),
        anchor: found["anchor"].to_owned(),
        command: found["command"].to_owned(),
        output: PathBuf::from(&found["output"]),
    })
}

/// How often `page` says **Claim:**, in whatever form.
pub fn mentions(page: &Page) -> usize {
    ANY_CLAIM.find_iter(&page.source).count()
}

/// The page that lists all claims, as Markdown, in the order of the pages.
///
/// # Errors
/// If a page with claims has no title.
pub fn index(pages: &[Page]) -> Result<String> {
    let mut index = INDEX_TOP.to_owned();
    for page in pages {
        // A claim without its proof is a failure of its own.
        let claims: Vec<_> = of(page)
            .into_iter()
            .filter_map(|claim| Some((claim.text, claim.proof.ok()?)))
            .collect();
        if claims.is_empty() {
            continue;
        }
        let title = TITLE
            .captures(&page.source)
            .with_context(|| format!("{} has no title", page.path.display()))?;
        write!(index, "\n## {}\n\n", &title["title"])?;
        for (text, proof) in claims {
            let Proof {
                number, program, ..
            } = proof;
            writeln!(
                index,
                "- {} [{number}]({}.md#listing-{program})",
                capitalized(&text),
                page.key()
            )?;
        }
    }
    Ok(index)
}

/// On its page a claim may go on after a colon; in the list it begins.
fn capitalized(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
