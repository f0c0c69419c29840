#!/usr/bin/env bash
# Brings the real parts that the end-to-end tests are held against into target/parts (or PARTS_DIR),
# each unless it is there already:
#   python     the packages of tests/python/requirements.txt, in an environment of their own
#   kafka      the jars of Apache Kafka (needs Java 17 and Maven)
#   browser    playwright-core, which drives Debian's Chromium (needs Node.js and `chromium`), and axe-core
#   rustc-web  Debian's second Rust compiler, unpacked, not installed (needs apt-get)
# usage: tests/parts.sh [NAME...]     without a name: all
set -euo pipefail
tests=$(cd "$(dirname "$0")" && pwd)
parts=${PARTS_DIR:-$tests/../target/parts}
mkdir -p "$parts"
parts=$(cd "$parts" && pwd)

# A part is whole when its stamp holds what it was made from.
fresh() { [ -f "$parts/$1.stamp" ] && [ "$(cat "$parts/$1.stamp")" = "$2" ]; }
stamp() { printf '%s' "$2" >"$parts/$1.stamp"; }

python() {
  local made; made=$(sha256sum <"$tests/python/requirements.txt")
  fresh python "$made" && return
  rm -rf "$parts/python"
  python3 -m venv "$parts/python"
  "$parts/python/bin/pip" install --quiet -r "$tests/python/requirements.txt"
  stamp python "$made"
}

kafka() {
  local made; made=$(sha256sum <"$tests/kafka/pom.xml")
  fresh kafka "$made" && return
  rm -rf "$parts/kafka"
  mvn -q -B -f "$tests/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$parts/kafka"
  stamp kafka "$made"
}

browser() {
  local made; made=$(sha256sum <"$tests/browser/package-lock.json")
  fresh browser "$made" && return
  rm -rf "$parts/browser"
  mkdir -p "$parts/browser"
  cp "$tests"/browser/package*.json "$parts/browser/"
  npm ci --prefix "$parts/browser" --no-audit --no-fund --silent
  stamp browser "$made"
}

rustc-web() {
  local version library llvm
  version=$(apt-cache show --no-all-versions rustc-web | sed -n 's/^Version: //p')
  fresh rustc-web "$version" && return
  library=$(apt-cache depends --important "libstd-rust-web-dev=$version" | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p')
  llvm=$(apt-cache depends --important "$library=$version" | sed -n 's/.*Depends: \(libllvm[0-9]*\)$/\1/p')
  rm -rf "$parts/rustc-web"
  mkdir -p "$parts/rustc-web/debs"
  (cd "$parts/rustc-web/debs" && apt-get download -qq "rustc-web=$version" "libstd-rust-web-dev=$version" "$library=$version" "$llvm" 2>/dev/null)
  for deb in "$parts"/rustc-web/debs/*.deb; do dpkg -x "$deb" "$parts/rustc-web"; done
  rm -r "$parts/rustc-web/debs"
  # Not installed, so it has to be told where its libraries lie; RUSTC must be a program.
  cat >"$parts/rustc-web/rustc" <<'TXT'
#!/bin/sh
here=$(dirname "$0")/usr
LD_LIBRARY_PATH=$here/lib/x86_64-linux-gnu exec "$here/bin/rustc" "$@"
TXT
  chmod +x "$parts/rustc-web/rustc"
  stamp rustc-web "$version"
}

[ $# -gt 0 ] || set -- python kafka browser rustc-web
for part; do
  "$part"
  echo "$part is in $parts/$part"
done
