//! The reference page says what the program does.

use config::{Config, EXPORT_OPTIONS, OPTIONS, Overrides, describe, reference_page};
use std::path::Path;

#[test]
fn the_reference_page_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/config.md");
    let page = reference_page();
    if std::env::var_os("PLEXUS_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == page, "{} is out of date; PLEXUS_WRITE_REFERENCE=1 writes it anew", path.display());
}

#[test]
fn each_default_of_the_table_is_the_one_in_force() {
    let config = Config::default();
    let text = describe(&config);
    for spec in OPTIONS {
        let key = spec.key.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("\n{key} = {}\n", spec.default)), "{}", spec.key);
    }
    let export = "[[export]]\npath = \"/p\"\nfilesystem = \"f\"\n";
    let config = Config::from_text("f", export, &Overrides::default()).unwrap();
    let text = describe(&config);
    let last = text.rsplit("[[export]]").next().unwrap();
    for spec in EXPORT_OPTIONS.iter().filter(|spec| !spec.default.is_empty()) {
        assert!(last.contains(&format!("{} = {}\n", spec.key, spec.default)), "{}", spec.key);
    }
}

#[test]
fn what_is_printed_can_be_read_again() {
    let text = "data = \"/srv/p\"\ndrives = 6\nprotection = \"4+2\"\ndrive_size = \"64M\"\n\
                [nfs]\nlease = 10\nlisten = \"[::]:2049\"\n[memory]\ncache = \"1G\"\n\
                [[export]]\npath = \"/a\"\nfilesystem = \"a\"\nclients = [\"*\"]\nsquash = \"all\"\naccess = \"ro\"\n";
    let config = Config::from_text("f", text, &Overrides::default()).unwrap();
    let again = Config::from_text("f", &describe(&config), &Overrides::default()).unwrap();
    assert_eq!(config, again);
}
