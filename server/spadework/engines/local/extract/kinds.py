"""Which files can be read, judged by name alone: `kind_of` names the extractor, `folders` skips the rest.

Why by name: a walk over ten thousand files must open none of them.
"""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["markdown", "rst", "text", "html", "pdf", "docx", "code", "table", "notebook"]

_SUFFIXES: dict[Kind, str] = {
    "markdown": "md markdown mdown mkd mdx qmd rmd",
    "rst": "rst rest",
    "text": "txt text adoc asciidoc org tex textile wiki mediawiki srt vtt bib eml me",
    "html": "html htm xhtml",
    "pdf": "pdf",
    "docx": "docx docm",
    "table": "csv tsv log",
    "notebook": "ipynb",
    "code": (
        "py pyi pyx js mjs cjs jsx ts mts cts tsx vue svelte go rs java kt kts scala groovy c h cc cpp cxx hh hpp hxx "
        "m mm cs fs vb rb php pl pm lua r jl swift dart ex exs erl hrl hs ml mli clj cljs lisp el scm nim zig v sv vhd "
        "sh bash zsh fish ps1 bat cmd awk sql graphql gql proto thrift toml yaml yml json json5 jsonc jsonl ndjson "
        "ini cfg conf properties env xml xsd xsl plist css scss sass less tf hcl nix cmake mk gradle dockerfile "
        "patch diff tmpl j2 jinja"
    ),
}

_NAMES: dict[Kind, str] = {
    "text": (
        "readme license licence copying notice authors contributors maintainers changelog changes history news todo "
        "install copyright credits thanks security contributing faq manifest version codeowners"
    ),
    "code": "makefile gnumakefile dockerfile containerfile rakefile gemfile procfile justfile vagrantfile jenkinsfile",
}

_BINARY_SUFFIXES = (
    "png jpg jpeg gif bmp ico icns webp tif tiff heic avif psd ai eps mp3 wav ogg flac m4a aac mp4 mkv avi mov webm "
    "wmv zip gz tgz bz2 xz zst 7z rar tar jar war whl egg deb rpm apk dmg iso img exe dll so dylib a o obj lib "
    "class pyc pyo pyd wasm bin dat db sqlite sqlite3 mdb parquet feather arrow npy npz pkl pickle h5 hdf5 pt pth "
    "onnx safetensors gguf ttf otf woff woff2 eot doc xls ppt xlsx pptx odt ods odp rtf epub mobi djvu key pages "
    "numbers swf blend glb stl pack idx inv mo gmo"
)

_GENERATED = (".min.js", ".min.css", ".js.map", ".css.map", "package-lock.json", "yarn.lock", "pnpm-lock.yaml")

_BINARY = frozenset(_BINARY_SUFFIXES.split())

_WORD_END = re.compile(r"[-_.]")

_BY_SUFFIX: dict[str, Kind] = {suffix: kind for kind, words in _SUFFIXES.items() for suffix in words.split()}
_BY_NAME: dict[str, Kind] = {name: kind for kind, words in _NAMES.items() for name in words.split()}


def kind_of(name: str) -> Kind | None:
    """The kind of a file by its name (`README`, `notes.md`, `a/b.pdf`), or None where no extractor reads it."""
    base = name.rpartition("/")[2].lower()
    stem, _, suffix = base.rpartition(".")
    if stem and suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if is_binary(base):
        return None
    return _BY_NAME.get(_WORD_END.split(base, maxsplit=1)[0])


def is_binary(name: str) -> bool:
    """Whether a name's suffix says that the file holds no text we could read."""
    return name.rpartition(".")[2].lower() in _BINARY


def is_generated(name: str) -> bool:
    """Whether a name says that a program wrote the file for a program (minified, lock file, source map)."""
    return name.lower().endswith(_GENERATED)


def file_title(path: str) -> str:
    """The last part of a path, which is a document's title where it has no better one."""
    return path.rstrip("/").rpartition("/")[2] or path
