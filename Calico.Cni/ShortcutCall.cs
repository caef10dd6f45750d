namespace Calico.Cni;

/// <summary>
/// The environment of an ordinary ADD or DEL, as <see cref="Shortcut"/> reads it. True means that <c>CniInvocation</c> would
/// accept it and read the same; what is unusual in any way is false.
/// </summary>
internal unsafe struct ShortcutCall
{
    private const int LongestText = 4096;

    public byte Command;
    public byte Plugin;
    public Text ContainerId;
    public Text Netns;
    public Text Interface;
    public Text Args;
    public Text Path;
    public Text Socket;

    public bool TryRead(byte* program, byte** environment)
    {
        Plugin = (byte)(BaseName(program).Is("calico-ipam"u8) ? 2 : 1);
        for (; *environment != null; environment++)
        {
            var variable = Text.OfTerminated(*environment);
            if (Value(variable, "CNI_COMMAND="u8, out var command))
                Command = (byte)(command.Is("ADD"u8) ? 1 : command.Is("DEL"u8) ? 2 : 0);
            else if (Value(variable, "CNI_CONTAINERID="u8, out var value))
                ContainerId = value;
            else if (Value(variable, "CNI_NETNS="u8, out value))
                Netns = value;
            else if (Value(variable, "CNI_IFNAME="u8, out value))
                Interface = value;
            else if (Value(variable, "CNI_ARGS="u8, out value))
                Args = value;
            else if (Value(variable, "CNI_PATH="u8, out value))
                Path = value;
            else if (Value(variable, "CALICO_CNI_SOCKET="u8, out value))
                Socket = value;
            else if (Value(variable, "CALICO_CNI_TIMEOUT="u8, out _) || Value(variable, "CNI_NETNS_OVERRIDE="u8, out _))
                return false;
        }
        return Command != 0 && IsIdentifier(ContainerId) && Interface.Length <= 15 && IsIdentifier(Interface)
            && IsPlain(Netns) && Netns.Length > 0 && IsPlain(Path) && Path.Length > 0 && IsPlain(Socket) && ArePairs(Args);
    }

    /// <summary>A letter or digit, then also <c>_ . -</c>.</summary>
    public static bool IsIdentifier(Text text)
    {
        if (text.Length == 0 || !IsPlain(text))
            return false;
        for (var i = 0; i < text.Length; i++)
        {
            var c = text.Start[i];
            if (c is not ((>= (byte)'a' and <= (byte)'z') or (>= (byte)'A' and <= (byte)'Z') or (>= (byte)'0' and <= (byte)'9'))
                && (i == 0 || c is not ((byte)'_' or (byte)'.' or (byte)'-')))
                return false;
        }
        return true;
    }

    // Printable ASCII, where a byte is a character.
    private static bool IsPlain(Text text)
    {
        if (text.Length > LongestText)
            return false;
        for (var i = 0; i < text.Length; i++)
        {
            if (text.Start[i] is < 0x20 or >= 0x7F)
                return false;
        }
        return true;
    }

    // KEY=value, separated by semicolons.
    private static bool ArePairs(Text text)
    {
        if (text.Length == 0)
            return true;
        int key = 0, signs = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text.Start[i] == ';')
            {
                if (signs != 1)
                    return false;
                key = signs = 0;
            }
            else if (text.Start[i] == '=')
            {
                if (key == 0)
                    return false;
                signs++;
            }
            else
            {
                key++;
            }
        }
        return signs == 1 && IsPlain(text);
    }

    private static Text BaseName(byte* path)
    {
        var whole = Text.OfTerminated(path);
        var start = whole.Length;
        while (start > 0 && path[start - 1] != '/')
            start--;
        return new Text(path + start, whole.Length - start);
    }

    private static bool Value(Text variable, ReadOnlySpan<byte> name, out Text value)
    {
        value = default;
        if (variable.Length < name.Length || !new Text(variable.Start, name.Length).Is(name))
            return false;
        value = new Text(variable.Start + name.Length, variable.Length - name.Length);
        return true;
    }
}
