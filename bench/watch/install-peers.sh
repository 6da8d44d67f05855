#!/bin/sh
# Installs what `npm run bench:watch` measures against: Debian packages, and npm packages in a folder of their own ($1).
set -eu
export DEBIAN_FRONTEND=noninteractive
if ! command -v inotifywait >/dev/null || ! command -v watchman >/dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends inotify-tools watchman >/dev/null
fi
mkdir -p "$1"
cd "$1"
[ -f package.json ] || echo '{"private":true}' >package.json
npm install --silent --ignore-scripts --no-fund --no-audit @parcel/watcher@2 chokidar@5
