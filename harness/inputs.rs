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
