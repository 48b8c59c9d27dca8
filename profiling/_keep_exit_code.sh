# sh _keep_exit_code.sh FOLDER OUT ERR COMMAND...
#
# Runs COMMAND exactly as it would run alone, and keeps two things that py-spy does not tell:
# its process id (FOLDER/.pid) and its exit code (FOLDER/.code; 128 + n after signal n).
# OUT and ERR are the descriptors of the study's own output; this shell's belong to py-spy.
# A shell and not Python: py-spy draws no frames for it.
folder=$1 out=$2 err=$3
shift 3
trap : HUP INT TERM # the command decides how it ends; this shell lives on to note its code
/bin/sh -c 'echo $$ >"$0/.pid" && exec "$@"' "$folder" "$@" >&"$out" 2>&"$err"
code=$?
echo "$code" >"$folder/.code.part" && mv "$folder/.code.part" "$folder/.code"
exit "$code"
