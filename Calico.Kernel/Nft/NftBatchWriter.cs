using System.Diagnostics;
using Calico.Core.Nft;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Nft;

/// <summary>
/// Writes a transaction as one netlink batch and remembers which operation each message belongs to.
/// <code>
/// | BATCH_BEGIN | NEWTABLE | NEWSET | NEWSETELEM | NEWSETELEM | NEWRULE … | BATCH_END |
///                                    \-- one operation, cut where an attribute of 64 KiB is full
/// </code>
/// </summary>
internal sealed class NftBatchWriter(NetlinkBatch batch, NftTable table, bool echoRules)
{
    // A list of members is one attribute, whose length has 16 bits. The longest member is far below the reserve.
    private const int MaxMemberBytes = 60_000;
    private const NetlinkFlags Create = NetlinkFlags.Create | NetlinkFlags.Exclusive;

    private readonly List<int> _opOfMessage = [];
    private uint _nextSetId = 1;
    private int _op = -1;

    /// <summary>For each message the index of its operation; -1 for the frame of the batch.</summary>
    public IReadOnlyList<int> OpOfMessage => _opOfMessage;

    public void Write(NftTransaction transaction)
    {
        var w = batch.Writer();
        Frame(ref w, NftMessage.BatchBegin);
        foreach (var op in transaction.Ops)
        {
            _op++;
            Write(ref w, op);
        }
        _op = -1;
        Frame(ref w, NftMessage.BatchEnd);
    }

    private void Write(ref NetlinkWriter w, NftOp op)
    {
        switch (op)
        {
            case NftOp.AddTable:
                var add = Begin(ref w, NftMessage.NewTable, Create);
                w.AttributeString(NftTableAttribute.Name, table.Name);
                w.EndMessage(add);
                break;
            case NftOp.DeleteTable:
                var delete = Begin(ref w, NftMessage.DeleteTable, NetlinkFlags.None);
                w.AttributeString(NftTableAttribute.Name, table.Name);
                w.EndMessage(delete);
                break;
            case NftOp.AddChain o:
                Chain(ref w, o.Chain, Create);
                break;
            case NftOp.SetChainPolicy o:
                Chain(ref w, o.Chain, NetlinkFlags.Create);
                break;
            case NftOp.DeleteChain o:
                Named(ref w, NftMessage.DeleteChain, NftChainAttribute.Table, NftChainAttribute.Name, o.Chain);
                break;
            case NftOp.FlushChain o:
                Named(ref w, NftMessage.DeleteRule, NftRuleAttribute.Table, NftRuleAttribute.Chain, o.Chain);
                break;
            case NftOp.AppendRule o:
                Rule(ref w, o.Chain, o.Rule, NetlinkFlags.Create | NetlinkFlags.Append, 0, 0);
                break;
            case NftOp.InsertRule o:
                Rule(ref w, o.Chain, o.Rule, NetlinkFlags.Create, NftRuleAttribute.Position, o.Before);
                break;
            case NftOp.ReplaceRule o:
                Rule(ref w, o.Chain, o.Rule, NetlinkFlags.Replace, NftRuleAttribute.Handle, o.Handle);
                break;
            case NftOp.DeleteRule o:
                var rule = Begin(ref w, NftMessage.DeleteRule, NetlinkFlags.None);
                w.AttributeString(NftRuleAttribute.Table, table.Name);
                w.AttributeString(NftRuleAttribute.Chain, o.Chain);
                w.AttributeUInt64BigEndian(NftRuleAttribute.Handle, o.Handle);
                w.EndMessage(rule);
                break;
            case NftOp.AddSet o:
                Set(ref w, o.Set);
                break;
            case NftOp.DeleteSet o:
                Named(ref w, NftMessage.DeleteSet, NftSetAttribute.Table, NftSetAttribute.Name, o.Set);
                break;
            case NftOp.AddElements o:
                Elements(ref w, NftMessage.NewElements, Create, o.Set, o.Elements.Span);
                break;
            case NftOp.RemoveElements o:
                Elements(ref w, NftMessage.DeleteElements, NetlinkFlags.None, o.Set, o.Elements.Span);
                break;
            case NftOp.AddMapEntries o:
                Entries(ref w, o.Set, o.Entries.Span);
                break;
            default:
                throw new UnreachableException(op.GetType().Name);
        }
    }

    private void Chain(ref NetlinkWriter w, NftChain chain, NetlinkFlags flags)
    {
        var m = Begin(ref w, NftMessage.NewChain, flags);
        w.AttributeString(NftChainAttribute.Table, table.Name);
        w.AttributeString(NftChainAttribute.Name, chain.Name);
        if (chain.Base is { } b)
        {
            var hook = w.BeginNested(NftChainAttribute.Hook);
            w.AttributeUInt32BigEndian(NftChainAttribute.HookNumber, NftCodes.Hook(table.Family, b.Hook));
            w.AttributeUInt32BigEndian(NftChainAttribute.HookPriority, (uint)b.Priority);
            w.EndNested(hook);
            w.AttributeUInt32BigEndian(NftChainAttribute.Policy, (uint)b.Policy);
            w.AttributeString(NftChainAttribute.Type, NftCodes.ChainType(b.Type));
        }
        w.EndMessage(m);
    }

    private void Rule(ref NetlinkWriter w, string chain, NftRule rule, NetlinkFlags flags, int placeAttribute,
        ulong place)
    {
        var count = rule.Terms.Count(NftRuleEncoder.NeedsSet);
        uint[] sets = count == 0 ? [] : new uint[count];
        var next = 0;
        foreach (var term in rule.Terms)
        {
            if (NftRuleEncoder.NeedsSet(term))
                sets[next++] = AnonymousPorts(ref w, ((NftMatch.Port)term).Ranges.AsSpan());
        }
        var m = Begin(ref w, NftMessage.NewRule, flags | (echoRules ? NetlinkFlags.Echo : NetlinkFlags.None));
        w.AttributeString(NftRuleAttribute.Table, table.Name);
        w.AttributeString(NftRuleAttribute.Chain, chain);
        if (placeAttribute != 0)
            w.AttributeUInt64BigEndian(placeAttribute, place);
        var expressions = w.BeginNested(NftRuleAttribute.Expressions);
        new NftRuleEncoder(table.Family, sets).Write(ref w, rule);
        w.EndNested(expressions);
        NftUserDataCodec.WriteRule(ref w, rule);
        w.EndMessage(m);
    }

    /// <summary>Makes the set behind a list of ports. Only ranges need the slower interval kind.</summary>
    private uint AnonymousPorts(ref NetlinkWriter w, ReadOnlySpan<NftPortRange> ranges)
    {
        var interval = false;
        foreach (var range in ranges)
            interval |= !range.IsSingle;
        var id = _nextSetId++;
        var m = Begin(ref w, NftMessage.NewSet, NetlinkFlags.Create);
        w.AttributeString(NftSetAttribute.Table, table.Name);
        w.AttributeString(NftSetAttribute.Name, NftRuleEncoder.AnonymousName);
        w.AttributeUInt32BigEndian(NftSetAttribute.Flags,
            NftSetFlag.Anonymous | NftSetFlag.Constant | (interval ? NftSetFlag.Interval : 0));
        w.AttributeUInt32BigEndian(NftSetAttribute.KeyType, (uint)NftDataType.InetService);
        w.AttributeUInt32BigEndian(NftSetAttribute.KeyLength, 2);
        w.AttributeUInt32BigEndian(NftSetAttribute.Id, id);
        var description = w.BeginNested(NftSetAttribute.Description);
        w.AttributeUInt32BigEndian(NftSetAttribute.DescriptionSize,
            (uint)(interval ? (2 * ranges.Length) + 1 : ranges.Length));
        w.EndNested(description);
        w.EndMessage(m);

        m = Begin(ref w, NftMessage.NewElements, NetlinkFlags.Create);
        var list = BeginElements(ref w, NftRuleEncoder.AnonymousName, id);
        // nft itself begins an interval set with the end of what lies before the first member, and expects it back.
        if (interval && ranges[0].First > 0)
            Element(ref w, [0, 0], NftSetCodec.End, null);
        foreach (var range in ranges)
        {
            Element(ref w, [(byte)(range.First >> 8), (byte)range.First], 0, null);
            if (interval && range.Last < ushort.MaxValue)
                Element(ref w, [(byte)((range.Last + 1) >> 8), (byte)(range.Last + 1)], NftSetCodec.End, null);
        }
        w.EndNested(list);
        w.EndMessage(m);
        return id;
    }

    private void Set(ref NetlinkWriter w, NftSet set)
    {
        var m = Begin(ref w, NftMessage.NewSet, Create);
        w.AttributeString(NftSetAttribute.Table, table.Name);
        w.AttributeString(NftSetAttribute.Name, set.Name);
        w.AttributeUInt32BigEndian(NftSetAttribute.Flags,
            (set.Interval ? NftSetFlag.Interval : 0) | (set.IsVerdictMap ? NftSetFlag.Map : 0));
        w.AttributeUInt32BigEndian(NftSetAttribute.KeyType, NftSetCodec.KeyType(set));
        w.AttributeUInt32BigEndian(NftSetAttribute.KeyLength, NftSetCodec.KeyLength(set));
        if (set.IsVerdictMap)
            w.AttributeUInt32BigEndian(NftSetAttribute.DataType, NftSetFlag.DataVerdict);
        w.AttributeUInt32BigEndian(NftSetAttribute.Id, _nextSetId++);
        if (set.MaxSize > 0)
        {
            var description = w.BeginNested(NftSetAttribute.Description);
            w.AttributeUInt32BigEndian(NftSetAttribute.DescriptionSize, set.MaxSize);
            w.EndNested(description);
        }
        NftUserDataCodec.WriteSet(ref w, set);
        w.EndMessage(m);
    }

    private void Elements(ref NetlinkWriter w, ushort type, NetlinkFlags flags, NftSet set,
        ReadOnlySpan<NftElement> elements)
    {
        Span<byte> key = stackalloc byte[NftSetCodec.MaxKeyLength];
        for (var i = 0; i < elements.Length;)
        {
            var m = Begin(ref w, type, flags);
            var list = BeginElements(ref w, set.Name, 0);
            for (; i < elements.Length && w.Position - list.At < MaxMemberBytes; i++)
            {
                Element(ref w, key[..NftSetCodec.WriteKey(set, elements[i], key)], 0, null);
                if (set.Interval && NftSetCodec.WriteEnd(elements[i], key) is > 0 and var length)
                    Element(ref w, key[..length], NftSetCodec.End, null);
            }
            w.EndNested(list);
            w.EndMessage(m);
        }
    }

    private void Entries(ref NetlinkWriter w, NftSet set, ReadOnlySpan<NftMapEntry> entries)
    {
        Span<byte> key = stackalloc byte[NftSetCodec.MaxKeyLength];
        for (var i = 0; i < entries.Length;)
        {
            var m = Begin(ref w, NftMessage.NewElements, Create);
            var list = BeginElements(ref w, set.Name, 0);
            for (; i < entries.Length && w.Position - list.At < MaxMemberBytes; i++)
                Element(ref w, key[..NftSetCodec.WriteKey(set, entries[i].Key, key)], 0, entries[i].Verdict);
            w.EndNested(list);
            w.EndMessage(m);
        }
    }

    private NetlinkWriter.Token BeginElements(ref NetlinkWriter w, string set, uint id)
    {
        w.AttributeString(NftElementAttribute.ListTable, table.Name);
        w.AttributeString(NftElementAttribute.ListSet, set);
        if (id != 0)
            w.AttributeUInt32BigEndian(NftElementAttribute.ListSetId, id);
        return w.BeginNested(NftElementAttribute.ListElements);
    }

    private static void Element(ref NetlinkWriter w, scoped ReadOnlySpan<byte> key, uint flags, NftVerdict? verdict)
    {
        var element = w.BeginNested(NftDataAttribute.Element);
        NftExpressions.Data(ref w, NftElementAttribute.Key, key);
        if (verdict is { } v)
            NftExpressions.VerdictData(ref w, NftElementAttribute.Data, NftCodes.Of(v.Kind), v.Chain);
        if (flags != 0)
            w.AttributeUInt32BigEndian(NftElementAttribute.Flags, flags);
        w.EndNested(element);
    }

    private void Named(ref NetlinkWriter w, ushort type, int tableAttribute, int nameAttribute, string name)
    {
        var m = Begin(ref w, type, NetlinkFlags.None);
        w.AttributeString(tableAttribute, table.Name);
        w.AttributeString(nameAttribute, name);
        w.EndMessage(m);
    }

    private NetlinkWriter.Token Begin(ref NetlinkWriter w, ushort type, NetlinkFlags flags)
    {
        _opOfMessage.Add(_op);
        var m = w.BeginMessage(type, flags);
        GenericHeader(ref w, (byte)table.Family, 0);
        return m;
    }

    private void Frame(ref NetlinkWriter w, ushort type)
    {
        _opOfMessage.Add(-1);
        var m = w.BeginMessage(type, NetlinkFlags.None);
        GenericHeader(ref w, 0, NftMessage.Subsystem);
        w.EndMessage(m);
    }

    /// <summary>struct nfgenmsg: <c>| family 8 | version 8 | resource 16 |</c>.</summary>
    internal static void GenericHeader(ref NetlinkWriter w, byte family, ushort resource)
    {
        w.WriteByte(family);
        w.WriteByte(0);
        w.WriteUInt16BigEndian(resource);
    }
}
