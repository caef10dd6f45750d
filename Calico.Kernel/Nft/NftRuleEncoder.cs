using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Nft;

/// <summary>
/// Translates the terms of a rule into the kernel's expressions, in the same words that nft itself would use, so that
/// <c>nft list</c> shows what was meant. Lists of ports need an anonymous set, which must be made in the batch before
/// the rule: <paramref name="anonymousSets"/> has the ids of those, in the order of the terms.
/// </summary>
internal ref struct NftRuleEncoder(NftFamily family, ReadOnlySpan<uint> anonymousSets)
{
    /// <summary>Name under which the kernel numbers anonymous sets.</summary>
    public const string AnonymousName = "__set%d";

    private readonly ReadOnlySpan<uint> _anonymousSets = anonymousSets;
    private NftRuleContext _context = new(family);
    private int _nextSet;

    /// <summary>Whether a port match becomes an anonymous set.</summary>
    public static bool NeedsSet(NftTerm term) => term is NftMatch.Port { Ranges.Length: > 1 };

    public void Write(ref NetlinkWriter w, NftRule rule)
    {
        foreach (var term in rule.Terms)
        {
            if (term is NftMatch match)
                Match(ref w, match);
            else
                Statement(ref w, (NftStatement)term);
            _context = _context.After(term);
        }
    }

    private void Match(ref NetlinkWriter w, NftMatch match)
    {
        var positive = !match.Negate;
        switch (match)
        {
            case NftMatch.Interface m:
                NftExpressions.Meta(ref w, m.Outgoing ? NftMetaKey.OutInterfaceName : NftMetaKey.InInterfaceName);
                Span<byte> name = stackalloc byte[16];
                name.Clear();
                var used = Encoding.UTF8.GetBytes(m.Name, name[..15]);
                if (m.IsPrefix && used == 0)
                    throw new ArgumentException("a match of every interface is no match");
                NftExpressions.Compare(ref w, positive, m.IsPrefix ? name[..used] : name);
                break;
            case NftMatch.Protocol m:
                NftExpressions.Meta(ref w, NftMetaKey.L4Protocol);
                NftExpressions.Compare(ref w, positive, [m.Number]);
                break;
            case NftMatch.Family m:
                NftExpressions.Meta(ref w, NftMetaKey.Family);
                NftExpressions.Compare(ref w, positive, [NftCodes.Family(m.Version)]);
                break;
            case NftMatch.Address m:
                Address(ref w, m);
                break;
            case NftMatch.Port m:
                Port(ref w, m);
                break;
            case NftMatch.InSet m:
                var offset = 0;
                foreach (var field in m.Fields)
                    offset += Field(ref w, field, offset);
                NftExpressions.Lookup(ref w, m.Set, m.Negate);
                break;
            case NftMatch.Icmp m:
                Icmp(ref w, m);
                break;
            case NftMatch.CtState m:
                NftExpressions.Ct(ref w, NftCtKey.State);
                AnyBit(ref w, (uint)m.States, positive);
                break;
            case NftMatch.CtDnat:
                NftExpressions.Ct(ref w, NftCtKey.Status);
                AnyBit(ref w, NftCtKey.StatusDnat, positive);
                break;
            case NftMatch.Mark m:
                if (m.Of == NftMarkOf.Packet)
                    NftExpressions.Meta(ref w, NftMetaKey.Mark);
                else
                    NftExpressions.Ct(ref w, NftCtKey.Mark);
                if (m.Mask != uint.MaxValue)
                    NftExpressions.BitwiseHost(ref w, m.Mask, 0);
                NftExpressions.CompareHost(ref w, positive, m.Value);
                break;
            case NftMatch.NoReversePath m:
                NftExpressions.Fib(ref w, NftFib.Source | NftFib.InInterface | (m.WithMark ? NftFib.Mark : 0),
                    NftFib.ResultOutInterface);
                NftExpressions.CompareHost(ref w, positive, 0);
                break;
            case NftMatch.AddressType m:
                NftExpressions.Fib(ref w, (m.Side == NftSide.Source ? NftFib.Source : NftFib.Destination)
                    | (m.OnOutInterface ? NftFib.OutInterface : 0), NftFib.ResultAddressType);
                NftExpressions.CompareHost(ref w, positive, (uint)m.Type);
                break;
            case NftMatch.Rate m:
                NftExpressions.Limit(ref w, m.Packets, (uint)m.Per, m.Burst, m.Negate);
                break;
            case NftMatch.Connections m:
                NftExpressions.ConnectionLimit(ref w, m.Limit, m.Negate);
                break;
            case NftMatch.ArpOperation m:
                NftExpressions.Payload(ref w, NftHeader.Network, 6, 2);
                NftExpressions.Compare(ref w, positive, Port(m.Operation));
                break;
            case NftMatch.ArpSender m:
                NftExpressions.Payload(ref w, NftHeader.Network, 14, 4);
                NftExpressions.Compare(ref w, positive, m.Sender.ToBytes());
                break;
            default:
                throw new UnreachableException(match.GetType().Name);
        }
    }

    private readonly void Statement(ref NetlinkWriter w, NftStatement statement)
    {
        switch (statement)
        {
            case NftStatement.Verdict s:
                NftExpressions.ImmediateVerdict(ref w, NftCodes.Of(s.Value.Kind), s.Value.Chain);
                break;
            case NftStatement.Reject s:
                var (type, code) = NftCodes.Reject(s.With, _context.KnownVersion);
                NftExpressions.Reject(ref w, type, code);
                break;
            case NftStatement.VerdictMap s:
                Field(ref w, s.Field, 0);
                NftExpressions.Lookup(ref w, s.Map, negate: false, verdicts: true);
                break;
            case NftStatement.SetMark s:
                SetMark(ref w, s);
                break;
            case NftStatement.Log s:
                NftExpressions.Log(ref w, NftText.Printable(s.Prefix, NftStatement.Log.MaxPrefixLength),
                    (uint)s.Level, s.Group);
                break;
            case NftStatement.Counter:
                NftExpressions.Counter(ref w);
                break;
            case NftStatement.Masquerade s:
                var (masqueradeMin, masqueradeMax) = NatPorts(ref w, s.Ports, 0);
                NftExpressions.Masquerade(ref w, NatFlags(s.Ports, s.FullyRandom), masqueradeMin, masqueradeMax);
                break;
            case NftStatement.Snat s:
                Nat(ref w, s.To, s.Ports, NatFlags(s.Ports, s.FullyRandom), destination: false);
                break;
            case NftStatement.Dnat s:
                Nat(ref w, s.To, s.Ports, NatFlags(s.Ports, fullyRandom: false), destination: true);
                break;
            case NftStatement.NoTrack:
                NftExpressions.NoTrack(ref w);
                break;
            case NftStatement.SetDscp s:
                SetDscp(ref w, s);
                break;
            default:
                throw new UnreachableException(statement.GetType().Name);
        }
    }

    // Whole bytes of a prefix are compared as they are; the rest needs a mask. Every address is inside a /0.
    private readonly void Address(ref NetlinkWriter w, NftMatch.Address m)
    {
        RequireVersion(ref w, m.Network.Version);
        var start = AddressOffset(m.Network.Version, m.Side);
        var bytes = m.Network.Address.ToBytes();
        var prefix = m.Network.PrefixLength;
        if (prefix > 0 && prefix % 8 == 0)
        {
            NftExpressions.Payload(ref w, NftHeader.Network, start, prefix / 8);
            NftExpressions.Compare(ref w, !m.Negate, bytes.AsSpan(0, prefix / 8));
            return;
        }
        if (prefix == 0 && !m.Negate)
            return;
        NftExpressions.Payload(ref w, NftHeader.Network, start, bytes.Length);
        NftExpressions.Bitwise(ref w, new Cidr(Ones(m.Network.Version), prefix).Network.Address.ToBytes(),
            new byte[bytes.Length]);
        NftExpressions.Compare(ref w, !m.Negate, bytes);
    }

    private void Port(ref NetlinkWriter w, NftMatch.Port m)
    {
        NftExpressions.Payload(ref w, NftHeader.Transport, m.Side == NftSide.Source ? 0 : 2, 2);
        if (m.Ranges.Length > 1)
            NftExpressions.Lookup(ref w, AnonymousName, m.Negate, id: _anonymousSets[_nextSet++]);
        else if (m.Ranges[0].IsSingle)
            NftExpressions.Compare(ref w, !m.Negate, Port(m.Ranges[0].First));
        else if (m.Negate)
            NftExpressions.OutsideRange(ref w, Port(m.Ranges[0].First), Port(m.Ranges[0].Last));
        else
            InsideRange(ref w, m.Ranges[0]);
    }

    private static void InsideRange(ref NetlinkWriter w, NftPortRange range)
    {
        NftExpressions.Compare(ref w, NftCompare.GreaterOrEqual, Port(range.First));
        NftExpressions.Compare(ref w, NftCompare.LessOrEqual, Port(range.Last));
    }

    private readonly void Icmp(ref NetlinkWriter w, NftMatch.Icmp m)
    {
        RequireVersion(ref w, m.Version);
        var protocol = m.Version == IpVersion.V4 ? (byte)1 : (byte)58;
        if (_context.Protocol != protocol)
        {
            NftExpressions.Meta(ref w, NftMetaKey.L4Protocol);
            NftExpressions.Compare(ref w, equal: true, [protocol]);
        }
        NftExpressions.Payload(ref w, NftHeader.Transport, 0, m.Code is null ? 1 : 2);
        NftExpressions.Compare(ref w, !m.Negate, m.Code is { } code ? [m.Type, code] : [m.Type]);
    }

    /// <summary>Loads a field at an offset of the register file and returns how far the next one is.</summary>
    private readonly int Field(ref NetlinkWriter w, NftField field, int offset)
    {
        var register = NftExpressions.Register(offset);
        switch (field)
        {
            case NftField.SourceAddress or NftField.DestinationAddress:
                var version = _context.KnownVersion
                    ?? throw new ArgumentException("match the family before an address is looked up");
                var side = field == NftField.SourceAddress ? NftSide.Source : NftSide.Destination;
                var length = version == IpVersion.V4 ? 4 : 16;
                NftExpressions.Payload(ref w, NftHeader.Network, AddressOffset(version, side), length, register);
                return length;
            case NftField.Protocol:
                NftExpressions.Meta(ref w, NftMetaKey.L4Protocol, register);
                return 4;
            case NftField.SourcePort or NftField.DestinationPort:
                NftExpressions.Payload(ref w, NftHeader.Transport, field == NftField.SourcePort ? 0 : 2, 2, register);
                return 4;
            case NftField.InInterface:
                NftExpressions.Meta(ref w, NftMetaKey.InInterfaceName, register);
                return 16;
            default:
                NftExpressions.Meta(ref w, NftMetaKey.OutInterfaceName, register);
                return 16;
        }
    }

    private static void SetMark(ref NetlinkWriter w, NftStatement.SetMark s)
    {
        if (s.Mask == uint.MaxValue)
        {
            NftExpressions.Immediate(ref w, NftExpressions.Register1, BitConverter.GetBytes(s.Value));
        }
        else
        {
            if (s.Of == NftMarkOf.Packet)
                NftExpressions.Meta(ref w, NftMetaKey.Mark);
            else
                NftExpressions.Ct(ref w, NftCtKey.Mark);
            NftExpressions.BitwiseHost(ref w, ~s.Mask, s.Value);
        }
        if (s.Of == NftMarkOf.Packet)
            NftExpressions.MetaSet(ref w, NftMetaKey.Mark);
        else
            NftExpressions.CtSet(ref w, NftCtKey.Mark);
    }

    // The first two bytes are version 4, header length 4, DSCP 6, ECN 2 bits in IPv4 and version 4, DSCP 6, ECN 2,
    // flow label 4 bits in IPv6. Only IPv4 has a header checksum, at offset 10.
    private static void SetDscp(ref NetlinkWriter w, NftStatement.SetDscp s)
    {
        var v4 = s.Version == IpVersion.V4;
        NftExpressions.Payload(ref w, NftHeader.Network, 0, 2);
        NftExpressions.Bitwise(ref w, Port(v4 ? (ushort)0xff03 : (ushort)0xf03f),
            Port((ushort)(s.Value << (v4 ? 2 : 6))));
        NftExpressions.PayloadSet(ref w, 0, 2, v4 ? 10 : null);
    }

    private static void Nat(ref NetlinkWriter w, IpAddr to, NftPortRange? ports, uint flags, bool destination)
    {
        NftExpressions.Immediate(ref w, NftExpressions.Register1, to.ToBytes());
        var (min, max) = NatPorts(ref w, ports, 1);
        NftExpressions.Nat(ref w, destination, (byte)(to.IsV4 ? NftFamily.Ip : NftFamily.Ip6), flags, min, max);
    }

    // A single port needs the lower register only. Registers 1 to 4 are 16 bytes each.
    private static (uint Min, uint Max) NatPorts(ref NetlinkWriter w, NftPortRange? ports, uint registersUsed)
    {
        if (ports is not { } range)
            return (0, 0);
        var min = registersUsed + 1;
        NftExpressions.Immediate(ref w, min, Port(range.First));
        if (range.IsSingle)
            return (min, 0);
        NftExpressions.Immediate(ref w, min + 1, Port(range.Last));
        return (min, min + 1);
    }

    private static uint NatFlags(NftPortRange? ports, bool fullyRandom) =>
        (ports is null ? 0 : NftNatFlag.ProtoSpecified) | (fullyRandom ? NftNatFlag.FullyRandom : 0);

    private static void AnyBit(ref NetlinkWriter w, uint bits, bool set)
    {
        NftExpressions.BitwiseHost(ref w, bits, 0);
        NftExpressions.CompareHost(ref w, equal: !set, 0);
    }

    // In an inet table a condition on an address holds for packets of that version only.
    private readonly void RequireVersion(ref NetlinkWriter w, IpVersion version)
    {
        if (_context.KnownVersion == version)
            return;
        if (_context.KnownVersion is not null || _context.Family == NftFamily.Arp)
            throw new ArgumentException($"an IP{version} condition in a rule for {_context.Family}");
        NftExpressions.Meta(ref w, NftMetaKey.Family);
        NftExpressions.Compare(ref w, equal: true, [NftCodes.Family(version)]);
    }

    private static int AddressOffset(IpVersion version, NftSide side) => (version, side) switch
    {
        (IpVersion.V4, NftSide.Source) => 12,
        (IpVersion.V4, _) => 16,
        (_, NftSide.Source) => 8,
        _ => 24,
    };

    private static IpAddr Ones(IpVersion version) =>
        version == IpVersion.V4 ? IpAddr.FromV4(uint.MaxValue) : IpAddr.FromV6(ulong.MaxValue, ulong.MaxValue);

    private static byte[] Port(ushort value)
    {
        var bytes = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, value);
        return bytes;
    }
}
