using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Net;

/// <summary>Addresses are two numbers of 64 bits; whatever is done with them is what one of 128 bits would have given.</summary>
[Layer("unit")]
public class AddressArithmeticTests
{
    // Many zeros and ones in a row: carries and masks live at their ends.
    private static readonly Gen<ulong> Half = Gen.OneOf(Gen.ULong, Gen.Const(0UL), Gen.Const(ulong.MaxValue), Gen.Int[0, 63].Select(i => 1UL << i), Gen.Int[0, 63].Select(i => ulong.MaxValue << i));

    private static readonly Gen<IpAddr> Address = Gen.OneOf(Half.Select(l => IpAddr.FromV4((uint)l)), Gen.Select(Half, Half, (h, l) => IpAddr.FromV6(h, l)));

    private static readonly Gen<Cidr> Network = Gen.Select(Address, Gen.Int[0, 128], (a, length) => new Cidr(a, Math.Min(length, a.BitLength)));

    private static UInt128 Space(IpAddr address) => address.IsV4 ? uint.MaxValue : UInt128.MaxValue;

    private static UInt128 HostMask(Cidr cidr) =>
        cidr.Address.BitLength - cidr.PrefixLength is 128 ? UInt128.MaxValue : (UInt128.One << (cidr.Address.BitLength - cidr.PrefixLength)) - 1;

    [Fact]
    public void A_network_begins_and_ends_where_its_mask_says() => Network.Sample(n =>
    {
        var mask = HostMask(n);
        Assert.Equal(IpAddr.From(n.Address.Bits & ~mask, n.Version), n.First);
        Assert.Equal(IpAddr.From(n.Address.Bits | mask, n.Version), n.Last);
        Assert.Equal((n.Address.Bits & mask) == 0, n.IsMasked);
        Assert.Equal(new Cidr(n.First, n.PrefixLength), n.Network);
    }, iter: 20_000);

    [Fact]
    public void It_contains_what_lies_between() => Gen.Select(Network, Address, Gen.Bool).Sample((n, a, isNear) =>
    {
        var address = isNear && a.Version == n.Version ? IpAddr.From(n.First.Bits ^ (a.Bits & HostMask(n)), n.Version) : a;
        Assert.Equal(address.Version == n.Version && address.Bits >= n.First.Bits && address.Bits <= n.Last.Bits, n.Contains(address));
    }, iter: 20_000);

    [Fact]
    public void Sums_wrap_inside_the_family() => Gen.Select(Address, Half).Sample((a, offset) =>
    {
        Assert.Equal(IpAddr.From((a.Bits + offset) & Space(a), a.Version), a.Add(offset));
        Assert.Equal(a.Add(offset), a.Add((UInt128)offset));
    }, iter: 20_000);

    [Fact]
    public void Order_octets_and_equality_are_those_of_the_number() => Gen.Select(Address, Address).Sample((a, b) =>
    {
        Assert.Equal(Math.Sign(a.Version != b.Version ? a.Version.CompareTo(b.Version) : a.Bits.CompareTo(b.Bits)), Math.Sign(a.CompareTo(b)));
        Assert.Equal(a.Version == b.Version && a.Bits == b.Bits, a == b);
        var again = IpAddr.FromBytes(a.ToBytes());
        Assert.Equal((a, a.GetHashCode()), (again, again.GetHashCode()));
        Assert.Equal(a, IpAddr.Parse(a.ToString()));
    }, iter: 20_000);
}
