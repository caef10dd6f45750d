namespace Calico.Core.Cni;

/// <summary>The operations of the CNI specification (section 2); the values are wire format.</summary>
public enum CniCommand : byte
{
    Add = 1,
    Del = 2,
    Check = 3,
    Status = 4,
    Gc = 5,
    Version = 6,
}

/// <summary>Which of the two plugins the runtime called; both names are one program.</summary>
public enum CniPlugin : byte
{
    /// <summary><c>calico</c>: the interface plugin.</summary>
    Interface = 1,

    /// <summary><c>calico-ipam</c>: addresses only, called by another interface plugin.</summary>
    Ipam = 2,
}

/// <summary>The commands as <c>CNI_COMMAND</c> spells them, and what each needs.</summary>
public static class CniCommands
{
    /// <summary>Commands are upper case; anything else is not one.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out CniCommand command)
    {
        command = text switch
        {
            "ADD" => CniCommand.Add,
            "DEL" => CniCommand.Del,
            "CHECK" => CniCommand.Check,
            "STATUS" => CniCommand.Status,
            "GC" => CniCommand.Gc,
            "VERSION" => CniCommand.Version,
            _ => 0,
        };
        return command != 0;
    }

    public static string ToText(this CniCommand command) => command switch
    {
        CniCommand.Add => "ADD",
        CniCommand.Del => "DEL",
        CniCommand.Check => "CHECK",
        CniCommand.Status => "STATUS",
        CniCommand.Gc => "GC",
        _ => "VERSION",
    };

    /// <summary>ADD, DEL and CHECK are about one interface of one container; the others about the whole plugin.</summary>
    public static bool ConcernsContainer(this CniCommand command) =>
        command is CniCommand.Add or CniCommand.Del or CniCommand.Check;

    /// <summary>The namespace must be there; DEL goes on without one, because cleaning up must always be possible.</summary>
    public static bool NeedsNetns(this CniCommand command) => command is CniCommand.Add or CniCommand.Check;

    /// <summary>The oldest specification that knows the command.</summary>
    public static CniVersion Since(this CniCommand command) => command switch
    {
        CniCommand.Check => new CniVersion(0, 4, 0),
        CniCommand.Status or CniCommand.Gc => new CniVersion(1, 1, 0),
        _ => new CniVersion(0, 1, 0),
    };
}
