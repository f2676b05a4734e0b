//! What the built pages depend on, as one number.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};

/// Changes with everything that can change a page: the Markdown, the
/// listings, the theme, `book.toml`, mdBook's variables, and this program.
///
/// # Errors
/// If one of them cannot be read.
pub fn fingerprint(root: &Path) -> Result<String> {
    let mut hash = DefaultHasher::new();
    for part in ["book.toml", "src", "listings", "theme"] {
        add(&root.join(part), &mut hash)?;
    }
    let mut variables: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("MDBOOK_"))
        .collect();
    variables.sort();
    variables.hash(&mut hash);
    let program = std::env::current_exe()?.metadata()?;
    (program.len(), program.modified()?).hash(&mut hash);
    Ok(format!("{:016x}", hash.finish()))
}

fn add(path: &Path, hash: &mut DefaultHasher) -> Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    path.hash(hash);
    if !path.is_dir() {
        fs::read(path).with_context(cannot)?.hash(hash);
        return Ok(());
    }
    let mut inside = fs::read_dir(path)
        .with_context(cannot)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()
        .with_context(cannot)?;
    inside.sort();
    inside.iter().try_for_each(|path| add(path, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that is out of date would be worse than a slow start.
    #[test]
    fn every_change_is_noticed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        for part in ["src", "listings/deep", "theme"] {
            fs::create_dir_all(root.join(part))?;
        }
        fs::write(root.join("book.toml"), "[book]")?;
        fs::write(root.join("listings/deep/main.rs"), "fn main() {}")?;
        let mut seen = vec![fingerprint(root)?];
        assert_eq!(fingerprint(root)?, seen[0], "nothing has changed");

        fs::write(root.join("listings/deep/main.rs"), "fn main() { }")?;
        seen.push(fingerprint(root)?);
        fs::write(root.join("src/new.md"), "")?;
        seen.push(fingerprint(root)?);
        fs::rename(root.join("src/new.md"), root.join("src/newer.md"))?;
        seen.push(fingerprint(root)?);
        fs::remove_file(root.join("book.toml"))?;
        assert!(fingerprint(root).is_err(), "book.toml is missing");

        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all, "a change was not noticed");
        Ok(())
    }
}
