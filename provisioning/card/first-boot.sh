#!/bin/sh
# Makes a reader of a Raspberry Pi OS, once, from what lies beside this script. Run by cloud-init or
# firstrun.sh as root; what it does a second time changes nothing. ROOT and BOOT are for trials.
set -eu
ROOT=${ROOT-} BOOT=${BOOT-/boot/firmware}
card=$BOOT/kazasu
kazasu=/opt/kazasu
log() { echo "kazasu: $*"; }

# In a trial on another machine nothing outside ROOT is touched: what would run is written down.
run() { if [ -n "$ROOT" ]; then echo "$*" >>"$ROOT/ran"; else "$@"; fi; }

[ -n "$ROOT" ] || blkid -L kazasu-data >/dev/null ||
  { log "no partition with the label kazasu-data: see docs/sd-cards.md"; exit 1; }

# --- the program: there already on a prepared image, else from the card, without a network ---
if [ ! -x "$ROOT$kazasu/bin/kazasu-edge" ]; then
  [ -d "$card/wheels" ] || { log "no program: neither $kazasu nor $card/wheels"; exit 1; }
  run python3 -m venv "$kazasu"
  run "$kazasu/bin/pip" install --no-index --find-links "$card/wheels" "kazasu[edge]"
fi
for units in "$ROOT$kazasu"/lib/python3*/site-packages/edge/systemd; do
  mkdir -p "$ROOT/etc/systemd/system" "$ROOT/etc/sysusers.d" "$ROOT/etc/tmpfiles.d"
  cp "$units"/*.service "$units"/*.path "$ROOT/etc/systemd/system/"
  cp "$units/sysusers.conf" "$ROOT/etc/sysusers.d/kazasu.conf"
  cp "$units/tmpfiles.conf" "$ROOT/etc/tmpfiles.d/kazasu.conf"
done

# --- what is written, and where: see docs/sd-cards.md ---
mkdir -p "$ROOT/data" "$ROOT/etc/systemd/journald.conf.d" "$ROOT/etc/systemd/system.conf.d"
cp "$card/journald.conf" "$ROOT/etc/systemd/journald.conf.d/kazasu.conf"
cp "$card/system.conf" "$ROOT/etc/systemd/system.conf.d/kazasu.conf"
if ! grep -q "^# kazasu" "$ROOT/etc/fstab"; then
  # The firmware's partition is read-only from now on; kazasu-enrol opens it for its one moment.
  sed -i 's|^\([^#][^ \t]*[ \t]*/boot/firmware[ \t]*vfat[ \t]*\)[^ \t]*|\1ro,nosuid,nodev,noexec|' \
    "$ROOT/etc/fstab"
  cat "$card/fstab" >>"$ROOT/etc/fstab"
fi
run systemd-sysusers
run systemctl daemon-reload
run mount /data
run systemd-tmpfiles --create /etc/tmpfiles.d/kazasu.conf

# --- who it is: public, but for the claim, which stays where kazasu-enrol finds and removes it ---
mkdir -p "$ROOT/data/kazasu"
for name in edge.toml authority.pem fleet.pub; do
  cp "$card/$name" "$ROOT/data/kazasu/$name.new"
  mv "$ROOT/data/kazasu/$name.new" "$ROOT/data/kazasu/$name"
done

# --- from here on the root is read-only: what is written there lies in memory and is gone ---
if [ -e "$ROOT/usr/share/initramfs-tools/hooks/overlayroot" ]; then
  grep -q "overlayroot=" "$BOOT/cmdline.txt" ||
    sed -i '1s/$/ overlayroot=tmpfs:recurse=0/' "$BOOT/cmdline.txt"
else
  log "the package overlayroot is not there: this root stays writable"
fi
run systemctl enable kazasu-tap.service kazasu-link.service kazasu-poweroff.path kazasu-enrol.service
mkdir -p "$ROOT/etc/cloud"
: >"$ROOT/etc/cloud/cloud-init.disabled"
rm -f "$BOOT/user-data" "$BOOT/network-config" "$BOOT/meta-data"  # with the Wi-Fi's key
sync
log "done: the next start enrols this reader"
