using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Nft;

// One sink for each kind of dump. nf_tables messages begin with the generic netfilter header of four bytes.

/// <summary>Chains of one table; a dump of chains cannot be limited to it.</summary>
internal readonly struct ChainSink(NftTable table, List<NftChain> chains) : INetlinkSink
{
    public void Restart() => chains.Clear();

    public void Message(in NetlinkMessage message)
    {
        if (message.Type != NftMessage.NewChain || !NftDumps.IsOf(message, table, NftChainAttribute.Table))
            return;
        var attributes = message.Attributes(NftDumps.HeaderLength);
        string name = "", type = "";
        NftHook? hook = null;
        var (priority, policy) = (0, NftPolicy.Accept);
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case NftChainAttribute.Name:
                    name = a.String;
                    break;
                case NftChainAttribute.Type:
                    type = a.String;
                    break;
                case NftChainAttribute.Policy:
                    policy = (NftPolicy)a.UInt32BigEndian;
                    break;
                case NftChainAttribute.Hook:
                    if (a.Nested().TryFind(NftChainAttribute.HookNumber, out var number))
                        hook = NftCodes.Hook(table.Family, number.UInt32BigEndian);
                    if (a.Nested().TryFind(NftChainAttribute.HookPriority, out var p))
                        priority = (int)p.UInt32BigEndian;
                    break;
            }
        }
        chains.Add(new NftChain(name, hook is { } h ? new NftBaseHook(ChainType(type), h, priority, policy) : null));
    }

    private static NftChainType ChainType(string type) => type switch
    {
        "nat" => NftChainType.Nat,
        "route" => NftChainType.Route,
        _ => NftChainType.Filter,
    };
}

/// <summary>Rules of one table by chain, in order.</summary>
internal readonly struct RuleSink(NftTable table, Dictionary<string, List<NftDumpedRule>> rules) : INetlinkSink
{
    public void Restart() => rules.Clear();

    public void Message(in NetlinkMessage message)
    {
        if (message.Type != NftMessage.NewRule || !NftDumps.IsOf(message, table, NftRuleAttribute.Table))
            return;
        var attributes = message.Attributes(NftDumps.HeaderLength);
        var chain = "";
        ulong handle = 0;
        string? comment = null;
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case NftRuleAttribute.Chain:
                    chain = a.String;
                    break;
                case NftRuleAttribute.Handle:
                    handle = a.UInt64BigEndian;
                    break;
                case NftRuleAttribute.UserData:
                    comment = NftUserDataCodec.ReadComment(a.Value, NftUserData.RuleComment);
                    break;
            }
        }
        if (!rules.TryGetValue(chain, out var list))
            rules[chain] = list = [];
        list.Add(NftRule.TryParseComment(comment, out var hash, out var cause)
            ? new NftDumpedRule(handle, hash, cause)
            : new NftDumpedRule(handle, null, Cause.None));
    }
}

/// <summary>Named sets of one table; <c>Foreign</c> ones have a key or flag that we never write.</summary>
internal readonly struct SetSink(NftTable table, List<(NftSet Set, bool Foreign)> sets) : INetlinkSink
{
    public void Restart() => sets.Clear();

    public void Message(in NetlinkMessage message)
    {
        if (message.Type != NftMessage.NewSet || !NftDumps.IsOf(message, table, NftSetAttribute.Table))
            return;
        var attributes = message.Attributes(NftDumps.HeaderLength);
        var name = "";
        string? comment = null;
        uint flags = 0, keyType = 0, dataType = 0, size = 0;
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case NftSetAttribute.Name:
                    name = a.String;
                    break;
                case NftSetAttribute.Flags:
                    flags = a.UInt32BigEndian;
                    break;
                case NftSetAttribute.KeyType:
                    keyType = a.UInt32BigEndian;
                    break;
                case NftSetAttribute.DataType:
                    dataType = a.UInt32BigEndian;
                    break;
                case NftSetAttribute.Description:
                    if (a.Nested().TryFind(NftSetAttribute.DescriptionSize, out var s))
                        size = s.UInt32BigEndian;
                    break;
                case NftSetAttribute.UserData:
                    comment = NftUserDataCodec.ReadComment(a.Value, NftUserData.SetComment);
                    break;
            }
        }
        if ((flags & NftSetFlag.Anonymous) != 0)
            return;
        var types = NftSetCodec.KeyTypes(keyType);
        var interval = (flags & NftSetFlag.Interval) != 0;
        var map = (flags & NftSetFlag.Map) != 0;
        var known = types is not null && types.Count(NftSet.IsWide) <= 1
            && (flags & ~(NftSetFlag.Interval | NftSetFlag.Map)) == 0
            && (!map || (dataType == NftSetFlag.DataVerdict && !interval))
            && (!interval || types is [NftDataType.Ipv4Addr or NftDataType.Ipv6Addr]);
        var set = known
            ? new NftSet(name, types)
            {
                Interval = interval,
                IsVerdictMap = map,
                MaxSize = size,
                Cause = Cause.Parse(comment ?? ""),
            }
            : new NftSet(name, NftDataType.InetService);
        sets.Add((set, !known));
    }
}

/// <summary>
/// Members of one set. An interval that is no network, or an entry without a verdict we know, makes it foreign.
/// </summary>
internal sealed class ElementCollector(NftSet set)
{
    private readonly List<NftElement> _elements = [];
    private readonly List<NftMapEntry> _entries = [];
    private readonly List<(UInt128 Key, bool End)> _edges = [];
    private bool _foreign;

    public void Restart()
    {
        _elements.Clear();
        _entries.Clear();
        _edges.Clear();
        _foreign = false;
    }

    public void Message(in NetlinkMessage message)
    {
        if (message.Type != NftMessage.NewElements
            || !message.Attributes(NftDumps.HeaderLength).TryFind(NftElementAttribute.ListElements, out var list))
            return;
        var elements = list.Nested();
        while (elements.TryNext(out var element))
        {
            if (element.Type == NftDataAttribute.Element)
                Element(element.Nested());
        }
    }

    public NftDumpedSet Finish()
    {
        if (set.Interval)
            JoinEdges();
        return new NftDumpedSet(set, _elements.ToArray(), _entries.ToArray(), _foreign);
    }

    private void Element(NetlinkReader attributes)
    {
        ReadOnlySpan<byte> key = default;
        NftVerdict? verdict = null;
        uint flags = 0;
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case NftElementAttribute.Key:
                    if (a.Nested().TryFind(NftDataAttribute.Value, out var value))
                        key = value.Value;
                    break;
                case NftElementAttribute.Flags:
                    flags = a.UInt32BigEndian;
                    break;
                case NftElementAttribute.KeyEnd:
                    _foreign = true;
                    break;
                case NftElementAttribute.Data:
                    verdict = Verdict(a.Nested());
                    break;
            }
        }
        if (!NftSetCodec.TryReadKey(set, key, out var element) || (flags & ~NftSetCodec.End) != 0)
            _foreign = true;
        else if (set.Interval)
            _edges.Add((element.Address.Bits, (flags & NftSetCodec.End) != 0));
        else if (!set.IsVerdictMap)
            _elements.Add(element);
        else if (verdict is { } v)
            _entries.Add(new NftMapEntry(element, v));
        else
            _foreign = true;
    }

    private static NftVerdict? Verdict(NetlinkReader data)
    {
        if (!data.TryFind(NftDataAttribute.Verdict, out var verdict)
            || !verdict.Nested().TryFind(NftDataAttribute.VerdictCode, out var code))
            return null;
        var chain = verdict.Nested().TryFind(NftDataAttribute.VerdictChain, out var c) ? c.String : null;
        return NftCodes.Verdict((int)code.UInt32BigEndian, chain);
    }

    // Edges sorted, the end of one interval before the start of the next at the same place. The end that nft puts at
    // address zero belongs to no interval.
    private void JoinEdges()
    {
        var version = set.Key[0] == NftDataType.Ipv4Addr ? IpVersion.V4 : IpVersion.V6;
        var space = version == IpVersion.V4 ? uint.MaxValue : UInt128.MaxValue;
        _edges.Sort(static (a, b) => a.Key != b.Key ? a.Key.CompareTo(b.Key) : b.End.CompareTo(a.End));
        UInt128? start = null;
        foreach (var (key, end) in _edges)
        {
            if (!end && start is not null)
                _foreign = true;
            if (start is { } from && end)
                Network(from, key - 1, version);
            start = end ? null : key;
        }
        if (start is { } open)
            Network(open, space, version);
    }

    private void Network(UInt128 first, UInt128 last, IpVersion version)
    {
        var bits = version == IpVersion.V4 ? 32 : 128;
        var hostBits = (int)(128 - UInt128.LeadingZeroCount(first ^ last));
        var network = new Cidr(IpAddr.From(first, version), bits - hostBits);
        if (network.First.Bits == first && network.Last.Bits == last)
            _elements.Add(NftElement.Of(network));
        else
            _foreign = true;
    }
}

internal readonly struct ElementSink(ElementCollector collector) : INetlinkSink
{
    public void Restart() => collector.Restart();

    public void Message(in NetlinkMessage message) => collector.Message(message);
}

/// <summary>Echoes of the rules that a batch made: their handles, by place in the batch.</summary>
internal readonly struct HandleSink(Dictionary<int, ulong> handles, uint firstSequence) : INetlinkSink
{
    public void Restart() => handles.Clear();

    public void Message(in NetlinkMessage message)
    {
        if (message.Type == NftMessage.NewRule
            && message.Attributes(NftDumps.HeaderLength).TryFind(NftRuleAttribute.Handle, out var handle))
            handles[(int)(message.Sequence - firstSequence)] = handle.UInt64BigEndian;
    }
}

/// <summary>The generation in the reply to NFT_MSG_GETGEN.</summary>
internal struct GenerationSink : INetlinkSink
{
    public uint Generation { get; private set; }

    public readonly void Restart()
    {
    }

    public void Message(in NetlinkMessage message)
    {
        if (message.Type == NftMessage.NewGeneration
            && message.Attributes(NftDumps.HeaderLength).TryFind(1, out var id))
            Generation = id.UInt32BigEndian;
    }
}

internal static class NftDumps
{
    public const int HeaderLength = 4;

    public static bool IsOf(in NetlinkMessage message, NftTable table, int tableAttribute) =>
        message.Payload.Length >= HeaderLength && message.Payload[0] == (byte)table.Family
        && message.Attributes(HeaderLength).TryFind(tableAttribute, out var name) && name.String == table.Name;
}
