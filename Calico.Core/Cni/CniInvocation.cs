namespace Calico.Core.Cni;

/// <summary>
/// The environment of one plugin call, checked the way the specification's reference library does: what the command
/// needs is there, identifiers have their form. Reading the environment is the caller's business.
/// </summary>
public sealed record CniInvocation(CniCommand Command, CniPlugin Plugin)
{
    public string ContainerId { get; init; } = "";
    public string Netns { get; init; } = "";
    public string InterfaceName { get; init; } = "";
    public string Args { get; init; } = "";
    public string Path { get; init; } = "";

    /// <summary><c>CNI_NETNS_OVERRIDE</c>: the plugin's own namespace is wanted on purpose.</summary>
    public bool NetnsOverride { get; init; }

    /// <summary>Reads and checks the variables.</summary>
    /// <param name="environment">The value of a variable, or null.</param>
    /// <param name="program">The name the program was started under; <c>calico-ipam</c> is the IPAM plugin.</param>
    public static bool TryRead(Func<string, string?> environment, ReadOnlySpan<char> program,
        out CniInvocation? invocation, out CniError? error)
    {
        invocation = null;
        var text = environment("CNI_COMMAND") ?? "";
        if (text.Length == 0)
            return Fail("required env variables [CNI_COMMAND] missing", out error);
        if (!CniCommands.TryParse(text, out var command))
            return Fail($"unknown CNI_COMMAND: {text}", out error);

        invocation = new CniInvocation(command, IsIpam(program) ? CniPlugin.Ipam : CniPlugin.Interface)
        {
            ContainerId = environment("CNI_CONTAINERID") ?? "",
            Netns = environment("CNI_NETNS") ?? "",
            InterfaceName = environment("CNI_IFNAME") ?? "",
            Args = environment("CNI_ARGS") ?? "",
            Path = environment("CNI_PATH") ?? "",
            NetnsOverride = environment("CNI_NETNS_OVERRIDE") is { } value
                && (value == "1" || value.Equals("true", StringComparison.OrdinalIgnoreCase)),
        };
        error = invocation.Check();
        return error is null;
    }

    /// <summary>Letters and digits, then also <c>_ . -</c>: container ids and network names.</summary>
    public static bool IsIdentifier(ReadOnlySpan<char> text)
    {
        if (text.IsEmpty || !char.IsAsciiLetterOrDigit(text[0]))
            return false;
        foreach (var c in text)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('_' or '.' or '-'))
                return false;
        }
        return true;
    }

    private CniError? Check()
    {
        if (Command == CniCommand.Version)
            return null;
        var missing = new List<string>();
        if (Command.ConcernsContainer() && ContainerId.Length == 0)
            missing.Add("CNI_CONTAINERID");
        if (Command.NeedsNetns() && Netns.Length == 0)
            missing.Add("CNI_NETNS");
        if (Command.ConcernsContainer() && InterfaceName.Length == 0)
            missing.Add("CNI_IFNAME");
        if (Command.ConcernsContainer() && Path.Length == 0)
            missing.Add("CNI_PATH");
        if (missing.Count > 0)
            return Invalid($"required env variables [{string.Join(',', missing)}] missing");
        return FaultOf(ContainerId, InterfaceName, Args) is { } fault ? Invalid(fault) : null;
    }

    /// <summary>
    /// What is wrong with the form of the variables that name files, interfaces and keys, or null; for the node too, which
    /// need not be called by the shim. Empty ones are not looked at.
    /// </summary>
    internal static string? FaultOf(string containerId, string interfaceName, string args)
    {
        if (containerId.Length > 0 && !IsIdentifier(containerId))
            return $"CNI_CONTAINERID '{containerId}' must start with a letter or digit and contain only letters, digits, '_', '.' and '-'";
        if (interfaceName.Length > 0 && InterfaceNameFault(interfaceName) is { } fault)
            return $"CNI_IFNAME '{interfaceName}' {fault}";
        return CniArgs.TryParse(args, out _, out var pair)
            ? null
            : $"CNI_ARGS has the invalid pair '{pair}'; it must be KEY=value pairs separated by ';'";
    }

    // What the kernel's dev_valid_name refuses: IFNAMSIZ is 16 with the terminating zero.
    private static string? InterfaceNameFault(string name) => name switch
    {
        "." or ".." => "is not an interface name",
        { Length: > 15 } => "is longer than 15 characters",
        _ when name.AsSpan().ContainsAny(['/', ':']) => "contains '/' or ':'",
        _ when name.Any(char.IsWhiteSpace) => "contains white space",
        _ => null,
    };

    private static bool IsIpam(ReadOnlySpan<char> program) =>
        program[(program.LastIndexOf('/') + 1)..] is "calico-ipam";

    private static CniError Invalid(string message) => new(CniErrorCode.InvalidEnvironment, message);

    private static bool Fail(string message, out CniError? error)
    {
        error = Invalid(message);
        return false;
    }
}
