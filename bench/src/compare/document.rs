//! The section of a Markdown document that a comparison replaces.

use std::path::{Path, PathBuf};

use crate::Outcome;

const BEGIN: &str = "<!-- compare: begin; written by scripts/bench --document -->\n";
const END: &str = "<!-- compare: end -->";

/// Replaces what is between the markers.
pub(crate) fn replace(path: &Path, section: &str) -> Outcome<()> {
    let text = std::fs::read_to_string(path)?;
    std::fs::write(path, replaced(&text, section)?)?;
    Ok(())
}

fn replaced(text: &str, section: &str) -> Outcome<String> {
    let missing = || format!("the document has no section between {BEGIN}and {END}");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}{section}{END}{after}"))
}

/// The folder of the document's charts, which is created.
pub(crate) fn images(path: &Path) -> Outcome<PathBuf> {
    let folder = path
        .parent()
        .unwrap_or(Path::new(""))
        .join("images/performance");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_changes() {
        let text = format!("# Title\n\n{BEGIN}old\n{END}\n\nrest\n");
        let expected = format!("# Title\n\n{BEGIN}new\n{END}\n\nrest\n");
        assert_eq!(replaced(&text, "new\n").unwrap(), expected);
        assert!(replaced("# Title\n", "new\n").is_err());
    }

    #[test]
    fn performance_page_has_the_section() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");
        assert!(replaced(&std::fs::read_to_string(page).unwrap(), "").is_ok());
    }
}
