namespace Calico.Cni;

/// <summary>
/// What <see cref="Shortcut"/> must know of a network configuration: that <c>CniConfigHeader</c> would accept it, that Calico
/// itself gives the addresses, and where the node listens. A key that is there twice or in another case, an escape
/// sequence where it would matter, an old version: false, and the ordinary program decides.
/// </summary>
internal unsafe struct ShortcutConfig(byte* start, int length)
{
    private const int Deepest = 32;

    private readonly byte* _end = start + length;
    private byte* _at = start;
    private bool _hasName, _hasVersion, _hasType, _hasIpam;

    public Text NodeSocket;

    public bool TryRead()
    {
        if (!Take((byte)'{') || !Members(depth: 1, isIpam: false))
            return false;
        SkipSpace();
        return _at == _end && _hasName && _hasVersion;
    }

    private bool Members(int depth, bool isIpam)
    {
        if (Take((byte)'}'))
            return true;
        do
        {
            if (!Take((byte)'"') || !String(out var key, out var isPlain) || !Take((byte)':'))
                return false;
            if (!(depth == 1 ? Top(key, isPlain) : isIpam ? Ipam(key, isPlain) : Value(depth)))
                return false;
        }
        while (Take((byte)','));
        return Take((byte)'}');
    }

    private bool Top(Text key, bool isPlain)
    {
        if (!isPlain)
            return false;
        if (key.Resembles("cniVersion"u8))
            return key.Is("cniVersion"u8) && First(ref _hasVersion) && PlainString(out var version) && IsUsualVersion(version);
        if (key.Resembles("name"u8))
            return key.Is("name"u8) && First(ref _hasName) && PlainString(out var name) && ShortcutCall.IsIdentifier(name);
        if (key.Resembles("type"u8))
            return key.Is("type"u8) && First(ref _hasType) && PlainString(out _);
        if (key.Resembles("node_socket"u8))
            return key.Is("node_socket"u8) && NodeSocket.Length == 0 && PlainString(out NodeSocket);
        if (key.Resembles("ipam"u8))
            return key.Is("ipam"u8) && First(ref _hasIpam) && Take((byte)'{') && Members(depth: 2, isIpam: true);
        return Value(depth: 1);
    }

    private bool Ipam(Text key, bool isPlain)
    {
        if (!isPlain)
            return false;
        return key.Resembles("type"u8)
            ? key.Is("type"u8) && PlainString(out var type) && type.Is("calico-ipam"u8)
            : Value(depth: 2);
    }

    private static bool IsUsualVersion(Text version) =>
        version.Is("1.0.0"u8) || version.Is("1.1.0"u8) || version.Is("0.3.1"u8) || version.Is("0.4.0"u8);

    private static bool First(ref bool seen)
    {
        var first = !seen;
        seen = true;
        return first;
    }

    private bool PlainString(out Text text)
    {
        text = default;
        return Take((byte)'"') && String(out text, out var isPlain) && isPlain;
    }

    private bool Value(int depth)
    {
        SkipSpace();
        if (depth >= Deepest || _at == _end)
            return false;
        switch (*_at)
        {
            case (byte)'"':
                _at++;
                return String(out _, out _);
            case (byte)'{':
                _at++;
                return Members(depth + 1, isIpam: false);
            case (byte)'[':
                _at++;
                return Elements(depth + 1);
            default:
                return Literal();
        }
    }

    private bool Elements(int depth)
    {
        if (Take((byte)']'))
            return true;
        do
        {
            if (!Value(depth))
                return false;
        }
        while (Take((byte)','));
        return Take((byte)']');
    }

    private bool Literal()
    {
        var start = _at;
        while (_at < _end && *_at is (>= (byte)'a' and <= (byte)'z') or (>= (byte)'0' and <= (byte)'9') or (byte)'-')
            _at++;
        var text = new Text(start, (int)(_at - start));
        return text.Is("true"u8) || text.Is("false"u8) || text.Is("null"u8) || IsInteger(text);
    }

    // Fractions and exponents are for the ordinary program, and leading zeros.
    private static bool IsInteger(Text text)
    {
        var first = text.Length > 0 && text.Start[0] == '-' ? 1 : 0;
        if (text.Length == first || (text.Start[first] == '0' && text.Length > first + 1))
            return false;
        for (var i = first; i < text.Length; i++)
        {
            if (text.Start[i] is < (byte)'0' or > (byte)'9')
                return false;
        }
        return true;
    }

    // Behind the opening quotation mark. Plain: ASCII without escapes.
    private bool String(out Text text, out bool isPlain)
    {
        var start = _at;
        isPlain = true;
        text = default;
        for (; _at < _end; _at++)
        {
            var c = *_at;
            if (c == '"')
            {
                text = new Text(start, (int)(_at++ - start));
                return true;
            }
            // What escapes mean, and whether they are right, is the ordinary program's.
            if (c is < 0x20 or (byte)'\\')
                return false;
            isPlain &= c < 0x7F;
        }
        return false;
    }

    private bool Take(byte c)
    {
        SkipSpace();
        if (_at == _end || *_at != c)
            return false;
        _at++;
        return true;
    }

    private void SkipSpace()
    {
        while (_at < _end && *_at is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n')
            _at++;
    }
}
