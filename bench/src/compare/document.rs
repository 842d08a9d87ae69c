//! The section of a Markdown document that a benchmark replaces.

use std::path::{Path, PathBuf};

use crate::Outcome;

/// The section of `compare`.
pub(crate) const COMPARE: Section = Section {
    begin: "<!-- compare: begin; written by scripts/bench --document -->\n",
    end: "<!-- compare: end -->",
};

/// The section of `soak`.
pub(crate) const SOAK: Section = Section {
    begin: "<!-- soak: begin; written by avalon-bench soak -->\n",
    end: "<!-- soak: end -->",
};

/// The markers of a section, each on a line of its own.
pub(crate) struct Section {
    begin: &'static str,
    end: &'static str,
}

impl Section {
    /// Replaces what is between the markers.
    pub(crate) fn replace(&self, path: &Path, section: &str) -> Outcome<()> {
        let text = std::fs::read_to_string(path)?;
        std::fs::write(path, self.replaced(&text, section)?)?;
        Ok(())
    }

    fn replaced(&self, text: &str, section: &str) -> Outcome<String> {
        let Self { begin, end } = self;
        let missing = || format!("the document has no section between {begin}and {end}");
        let (before, rest) = text.split_once(begin).ok_or_else(missing)?;
        let (_, after) = rest.split_once(end).ok_or_else(missing)?;
        Ok(format!("{before}{begin}{section}{end}{after}"))
    }
}

/// The folder of the document's charts, which is created.
pub(crate) fn images(path: &Path, name: &str) -> Outcome<PathBuf> {
    let folder = path
        .parent()
        .unwrap_or(Path::new(""))
        .join("images")
        .join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_changes() {
        let Section { begin, end } = COMPARE;
        let text = format!("# Title\n\n{begin}old\n{end}\n\nrest\n");
        let expected = format!("# Title\n\n{begin}new\n{end}\n\nrest\n");
        assert_eq!(COMPARE.replaced(&text, "new\n").unwrap(), expected);
        assert!(COMPARE.replaced("# Title\n", "new\n").is_err());
    }

    #[test]
    fn pages_have_their_sections() {
        for (section, page) in [(COMPARE, "performance.md"), (SOAK, "reliability.md")] {
            let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
            let text = std::fs::read_to_string(format!("{docs}/{page}")).unwrap();
            assert!(section.replaced(&text, "").is_ok(), "{page}");
        }
    }
}
