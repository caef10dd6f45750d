using System.CommandLine;

namespace Calico.Ctl.Commands;

/// <summary>
/// completion: a script for the shell. It asks the program itself what may follow (<c>calicoctl [suggest:N] LINE</c>), so
/// it never gets out of step with it.
/// </summary>
internal static class CompletionCommand
{
    private const string Bash = """
        # bash completion for calicoctl; load it with: source <(calicoctl completion bash)
        _calicoctl() {
            local IFS=$'\n' word=${COMP_WORDS[COMP_CWORD]}
            COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)" -- "$word"))
            [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$word"))
        }
        complete -F _calicoctl calicoctl
        """;

    private const string Zsh = """
        #compdef calicoctl
        # zsh completion for calicoctl; load it with: source <(calicoctl completion zsh)
        _calicoctl() {
            local -a suggestions
            suggestions=(${(f)"$(${words[1]} "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)"})
            if (( ${#suggestions} )); then compadd -- $suggestions; else _files; fi
        }
        compdef _calicoctl calicoctl
        """;

    public static Command Build(CtlContext context)
    {
        var shell = new Argument<string>("SHELL") { Description = "bash or zsh" };
        shell.AcceptOnlyFromAmong("bash", "zsh");
        var command = new ExampleCommand("completion", "Print a script that completes commands, options and kinds in the shell.",
            "completion bash > /etc/bash_completion.d/calicoctl") { shell };
        command.SetAction(async (parsed, _) =>
        {
            await context.Out.WriteLineAsync(parsed.GetValue(shell) == "zsh" ? Zsh : Bash);
            return CommandLine.Success;
        });
        return command;
    }
}
