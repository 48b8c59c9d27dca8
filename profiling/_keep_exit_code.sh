# sh _keep_exit_code.sh FOLDER OUT ERR COMMAND...
#
# Runs COMMAND as it would run alone, but for names of variables that a shell drops, and keeps two
# things that samplers do not tell:
# its process id (FOLDER/.pid) and its exit code (FOLDER/.code; 128 + n after signal n).
# OUT and ERR are the descriptors of the study's own output; this shell's belong to py-spy.
# A shell and not Python: py-spy draws no frames for it.
folder=$1 out=$2 err=$3
shift 3
trap : HUP INT TERM QUIT # the command decides how it ends; this shell lives on to note its code
shut= # the copies are closed in the study: numbers are written out, as the shell wants them
[ "$out" -gt 2 ] && shut="$out>&- $err>&-"
eval '/bin/sh -c '\''echo $$ >"$0/.pid" && exec "$@"'\'' "$folder" "$@" >&"$out" 2>&"$err" '"$shut"
code=$?
echo "$code" >"$folder/.code.part" && mv "$folder/.code.part" "$folder/.code"
exit "$code"
