#!/bin/sh
# Made by kazasu-provision sd, for images without cloud-init: who this machine is, then the reader.
# Run once as root by `systemd.run=` in cmdline.txt. ROOT and BOOT are for trials.
set -eu
ROOT=${ROOT-} BOOT=${BOOT-/boot/firmware}
run() { if [ -n "$ROOT" ]; then echo "$*" >>"$ROOT/ran"; else "$@"; fi; }

name=@HOSTNAME@
echo "$name" >"$ROOT/etc/hostname"
sed -i "/^127\.0\.1\.1/d" "$ROOT/etc/hosts"
echo "127.0.1.1 $name" >>"$ROOT/etc/hosts"
ln -sf /usr/share/zoneinfo/Asia/Tokyo "$ROOT/etc/localtime"
echo Asia/Tokyo >"$ROOT/etc/timezone"
sed -i 's/^# *\(ja_JP.UTF-8\)/\1/' "$ROOT/etc/locale.gen"
echo LANG=ja_JP.UTF-8 >"$ROOT/etc/default/locale"
run locale-gen

# Nobody signs in: no user is made, no password is set, and ssh stays off.
for unit in userconfig.service ssh.service; do
  run systemctl disable "$unit" || echo "kazasu: this image has no $unit"
done
run passwd --lock root

if [ -e "$BOOT/kazasu/wifi.nmconnection" ]; then
  connections=$ROOT/etc/NetworkManager/system-connections
  mkdir -p "$connections"
  install -m 600 "$BOOT/kazasu/wifi.nmconnection" "$connections/kazasu.nmconnection"
  run raspi-config nonint do_wifi_country JP || run rfkill unblock wifi
  rm "$BOOT/kazasu/wifi.nmconnection"
fi

ROOT=$ROOT BOOT=$BOOT sh "$BOOT/kazasu/first-boot.sh"
sed -i 's/ systemd\.run[^ ]*//g; s/ systemd\.unit=kernel-command-line\.target//' "$BOOT/cmdline.txt"
rm -f "$BOOT/firstrun.sh"
