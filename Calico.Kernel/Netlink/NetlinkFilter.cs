using System.Buffers.Binary;

namespace Calico.Kernel.Netlink;

/// <summary>
/// Which notifications a socket does not get: a program of the classic packet filter (networking/filter.rst), which the kernel runs
/// before it queues a message. Messages of notifications come one in a datagram.
/// </summary>
/// <param name="RouteProtocol">Of routes that come or go; 0 for none.</param>
/// <param name="PortId">The socket whose requests caused it (nlmsg_pid); 0 for none.</param>
public readonly record struct NetlinkFilter(byte RouteProtocol, uint PortId)
{
    internal const int MaxSteps = 10;

    // struct nlmsghdr, and behind it struct rtmsg.
    private const int TypeOffset = 4, PortOffset = 12, RouteProtocolOffset = 16 + 5;

    private const ushort LoadWord = 0x20, LoadHalf = 0x28, LoadByte = 0x30, JumpIfEqual = 0x15, Return = 0x06;

    /// <summary>Writes the program and returns its length; 0 if it would stop nothing.</summary>
    internal int Write(Span<Libc.FilterStep> steps)
    {
        var at = 0;
        if (PortId != 0)
        {
            steps[at++] = Step(LoadWord, PortOffset);
            steps[at++] = Equal(Loaded(PortId), skipUnless: 1);
            steps[at++] = Step(Return, 0);
        }
        if (RouteProtocol != 0)
        {
            steps[at++] = Step(LoadHalf, TypeOffset);
            steps[at++] = Equal(Loaded(RouteMessageType.NewRoute), skipUnless: 0, skipIf: 1);
            steps[at++] = Equal(Loaded(RouteMessageType.DelRoute), skipUnless: 3);
            steps[at++] = Step(LoadByte, RouteProtocolOffset);
            steps[at++] = Equal(RouteProtocol, skipUnless: 1);
            steps[at++] = Step(Return, 0);
        }
        if (at > 0)
            steps[at++] = Step(Return, uint.MaxValue);
        return at;
    }

    private static Libc.FilterStep Step(ushort code, uint value) => new() { Code = code, Value = value };

    private static Libc.FilterStep Equal(uint value, byte skipUnless, byte skipIf = 0) =>
        new() { Code = JumpIfEqual, Value = value, IfTrue = skipIf, IfFalse = skipUnless };

    // The filter loads in network order what netlink stores in the machine's.
    private static uint Loaded(uint value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    private static ushort Loaded(ushort value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
}
