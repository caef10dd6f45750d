using System.Collections;
using System.Text;
using Calico.Core.Cni;

namespace Calico.Cni;

/// <summary>
/// Calls whose <c>ipam.type</c> is another's program, such as host-local. The shim runs it, because only the shim has the
/// runtime's <c>CNI_PATH</c> and environment:
/// <code>
///   ADD    program ADD ─► node, with what it printed ─► fails? program DEL
///   other  node ─► program
/// </code>
/// </summary>
internal static class ForeignIpam
{
    public static CniReply Run(CniInvocation call, CniConfigHeader header, ReadOnlyMemory<byte> config, int netns)
    {
        if (Find(call.Path, header.IpamType, out var error) is not { } program)
            return error!.ToReply(header.Version);
        if (Expand(call, header, config, out var expanded) is { } failure)
            return failure;
        if (call.Command != CniCommand.Add)
        {
            var reply = Shim.Ask(call, header, config, netns);
            return reply.ExitCode != 0 ? reply : Silent(Execute(program, header, call.Command, expanded, out _));
        }
        if (Execute(program, header, CniCommand.Add, expanded, out var result) is { ExitCode: not 0 } refusal)
            return refusal;
        var added = Shim.Ask(call, header, config, netns, result);
        if (added.ExitCode != 0)
            Execute(program, header, CniCommand.Del, expanded, out _);
        return added;
    }

    // Of a program's success only an ADD has something to print.
    private static CniReply Silent(CniReply reply) => reply.ExitCode == 0 ? CniReply.Done : reply;

    // A DEL must be possible without the node, and for it the range does not matter.
    private static CniReply? Expand(CniInvocation call, CniConfigHeader header, ReadOnlyMemory<byte> config, out ReadOnlyMemory<byte> expanded)
    {
        expanded = config;
        if (config.Span.IndexOf("usePodCidr"u8) < 0)
            return null;
        if (call.Command == CniCommand.Del)
        {
            expanded = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(config.Span)
                .Replace("\"usePodCidrIPv6\"", "\"::/0\"", StringComparison.Ordinal)
                .Replace("\"usePodCidr\"", "\"0.0.0.0/0\"", StringComparison.Ordinal));
            return null;
        }
        var reply = Shim.Ask(call, header, config, -1, onlyExpand: true);
        expanded = reply.Output;
        return reply.ExitCode == 0 ? null : reply;
    }

    private static string? Find(string searchPath, string type, out CniError? error)
    {
        error = null;
        if (type.Contains('/', StringComparison.Ordinal) || type is "." or "..")
        {
            error = new CniError(CniErrorCode.InvalidConfig, $"ipam.type '{type}' is not the name of a program");
            return null;
        }
        foreach (var folder in searchPath.Split(':', StringSplitOptions.RemoveEmptyEntries))
        {
            var path = $"{folder}/{type}";
            if (Libc.TryStatTarget(path, out var status) && status.IsExecutable)
                return path;
        }
        error = new CniError(CniErrorCode.InvalidConfig, $"the IPAM plugin '{type}' is not in CNI_PATH ({searchPath})");
        return null;
    }

    private static CniReply Execute(string program, CniConfigHeader header, CniCommand command, ReadOnlyMemory<byte> config,
        out ReadOnlyMemory<byte> result)
    {
        var environment = new List<string> { $"CNI_COMMAND={command.ToText()}" };
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            if (!"CNI_COMMAND".Equals(variable.Key))
                environment.Add($"{variable.Key}={variable.Value}");
        }
        var output = new byte[CniFrame.MaxBodyLength / 4];
        var status = Libc.Execute(program, environment, config.Span, output, out var length, Shim.TimeoutSeconds() * 1000);
        result = output.AsMemory(0, length);
        if (status == 0)
            return new CniReply(0, result);
        // The specification's error object is passed on as it is.
        if (status > 0 && output.AsSpan(0, length).TrimStart(" \t\r\n"u8).StartsWith("{"u8))
            return new CniReply(1, result);
        var why = status switch
        {
            -1 => $"cannot be run: {Libc.ErrorText(Libc.Errno)}",
            -2 => $"did not end within {Shim.TimeoutSeconds()} s",
            _ => $"ended with status {status} and said '{Encoding.UTF8.GetString(output.AsSpan(0, Math.Min(length, 200))).Trim()}'",
        };
        return new CniError(status == -2 ? CniErrorCode.TryAgainLater : CniErrorCode.Internal, $"{command.ToText()} of the IPAM plugin: {program} {why}")
            .ToReply(header.Version);
    }
}
