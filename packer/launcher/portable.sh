# The script in a portable file: finds this file, copies the Linux launcher out of it once, and executes that.
# Comments and empty lines are left out of the file; packer/portable.py puts in the values between @ signs.
case "$(uname -s -m)" in
'Linux x86_64') ;;
*) echo "error: $0 runs on Windows and Linux on x86-64, not on $(uname -s -m)" >&2; exit 7 ;;
esac
CDPATH=
f=$0
case $f in
*/*) ;;
*) [ -f "./$f" ] && f=./$f || f=$(command -v -- "$f") ;;
esac
d=$(cd "${f%/*}/" && pwd -P) || exit 7
PACKER_PORTABLE=${d%/}/${f##*/}
export PACKER_PORTABLE
n=packer-runtimes
t() {
    p=$1/@NAME@
    [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ ! -L "$p" ] && [ -f "$p" ] && [ -O "$p" ] && [ -x "$p" ]
}
# u DIRECTORY: copy the launcher there and see whether it may run from there.
u() {
    (umask 077; mkdir -p "$1") 2>/dev/null
    [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || return 1
    q=$1/@NAME@.$$
    dd if="$PACKER_PORTABLE" of="$q" bs=4096 skip=@SKIP@ count=@COUNT@ 2>/dev/null && chmod 755 "$q" &&
        PACKER_LAUNCHER_PROBE=1 "$q" 2>/dev/null && mv -f "$q" "$1/@NAME@" 2>/dev/null && return 0
    rm -f "$q" 2>/dev/null
    return 1
}
i=$(id -u)
if [ -n "$PACKER_CACHE_DIR" ]; then
    set -- "$PACKER_CACHE_DIR" '' '' '' '' '' "$@"
else
    c=${XDG_CACHE_HOME:+$XDG_CACHE_HOME/$n}
    h=
    [ -n "$HOME" ] && [ -d "$HOME" ] && h=$HOME/.cache/$n
    r=${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/$n}
    set -- "$c" "$h" "/var/tmp/$n-$i" "/tmp/$n-$i" "$r" "${d%/}/.$n" "$@"
fi
for w in t u; do
    k=0
    for a in "$1" "$2" "$3" "$4" "$5" "$6"; do
        [ -n "$a" ] && "$w" "$a" && { k=1; break; }
    done
    [ $k = 1 ] && break
done
[ $k = 1 ] || { echo "error: found no directory that programs may run from; name one with PACKER_CACHE_DIR" >&2; exit 7; }
shift 6
exec "$a/@NAME@" "$@"
