using System.Text;
using Calico.Core.Cni;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Cni;

[Layer("unit")]
public class CniProtocolTests
{
    private static readonly CniRequest Add = new(CniCommand.Add, CniPlugin.Interface)
    {
        ContainerId = "c1",
        NetnsPath = "/n",
        InterfaceName = "eth0",
        Args = "A=b",
        Path = "/p",
        Config = "{}"u8.ToArray(),
        NetnsAttached = true,
    };

    private static readonly byte[] AddBytes = Convert.FromHexString(
        "43434E49" + "0001" + "0001" + "00000020"
        + "01" + "01" + "01"
        + "0002" + "6331" + "0002" + "2F6E" + "0004" + "65746830" + "0003" + "413D62" + "0002" + "2F70"
        + "00000002" + "7B7D");

    private static readonly CniReply Failed = new(1, "{}"u8.ToArray());
    private static readonly byte[] FailedBytes =
        Convert.FromHexString("43434E49" + "0001" + "0002" + "00000007" + "01" + "00000002" + "7B7D");

    [Fact]
    public void A_request_has_these_bytes() => Assert.Equal(Convert.ToHexString(AddBytes), Convert.ToHexString(Add.ToFrame()));

    [Fact]
    public void These_bytes_are_that_request()
    {
        Assert.Equal(CniFrameFault.None, CniFrame.TryRead(AddBytes, out var frame));
        Assert.True(CniRequest.TryDecode(AddBytes.AsSpan(CniFrame.HeaderLength, frame.Length), out var request, out _));

        Assert.Equal(CniFrameKind.Request, frame.Kind);
        Assert.Equal(Add, request);
    }

    [Fact]
    public void A_reply_has_these_bytes() => Assert.Equal(Convert.ToHexString(FailedBytes), Convert.ToHexString(Failed.ToFrame()));

    [Fact]
    public void These_bytes_are_that_reply()
    {
        Assert.Equal(CniFrameFault.None, CniFrame.TryRead(FailedBytes, out var frame));
        Assert.True(CniReply.TryDecode(FailedBytes.AsSpan(CniFrame.HeaderLength, frame.Length), out var reply));

        Assert.Equal(CniFrameKind.Reply, frame.Kind);
        Assert.Equal(Failed, reply);
    }

    [Theory]
    [InlineData("43434E48", CniFrameFault.BadMagic)]
    [InlineData("485454502F312E310D0A0D0A", CniFrameFault.BadMagic)]
    [InlineData("43434E49000200010000001F", CniFrameFault.UnsupportedVersion)]
    [InlineData("43434E49000100030000001F", CniFrameFault.UnknownKind)]
    [InlineData("43434E490001000100100001", CniFrameFault.TooLong)]
    [InlineData("43434E4900010001FFFFFFFF", CniFrameFault.TooLong)]
    public void A_header_that_is_not_ours_is_refused_for_its_reason(string hex, CniFrameFault fault) =>
        Assert.Equal(fault, CniFrame.TryRead(Convert.FromHexString(hex), out _));

    [Fact]
    public void Every_shorter_header_is_incomplete()
    {
        for (var length = 0; length < CniFrame.HeaderLength; length++)
            Assert.Equal(CniFrameFault.Incomplete, CniFrame.TryRead(AddBytes.AsSpan(0, length), out _));
    }

    [Fact]
    public void Every_truncation_of_a_body_is_refused()
    {
        var request = AddBytes.AsSpan(CniFrame.HeaderLength);
        for (var length = 0; length < request.Length; length++)
            Assert.False(CniRequest.TryDecode(request[..length], out _, out _), $"request of {length} bytes");
        var reply = FailedBytes.AsSpan(CniFrame.HeaderLength);
        for (var length = 0; length < reply.Length; length++)
            Assert.False(CniReply.TryDecode(reply[..length], out _), $"reply of {length} bytes");
    }

    [Fact]
    public void Bytes_after_the_last_field_are_refused()
    {
        Assert.False(CniRequest.TryDecode([.. AddBytes.AsSpan(CniFrame.HeaderLength), 0], out _, out var error));
        Assert.False(CniReply.TryDecode([.. FailedBytes.AsSpan(CniFrame.HeaderLength), 0], out _));
        Assert.Contains("end", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 0, "command")]
    [InlineData(0, 7, "command")]
    [InlineData(1, 3, "plugin")]
    [InlineData(2, 8, "flags")]
    public void A_value_without_meaning_is_refused_by_name(int at, byte value, string field)
    {
        var body = AddBytes[CniFrame.HeaderLength..];
        body[at] = value;

        Assert.False(CniRequest.TryDecode(body, out _, out var error));
        Assert.Contains(field, error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../../etc/passwd", "eth0", "", "CNI_CONTAINERID")]
    [InlineData("cid 1", "eth0", "", "CNI_CONTAINERID")]
    [InlineData("", "eth0", "", "container id")]
    [InlineData("cid-1", "", "", "interface name")]
    [InlineData("cid-1", "../eth0", "", "CNI_IFNAME")]
    [InlineData("cid-1", "an-interface-too-long", "", "CNI_IFNAME")]
    [InlineData("cid-1", "eth0", "no pair", "CNI_ARGS")]
    public void Names_that_could_lead_elsewhere_are_refused_whoever_sends_them(string container, string interfaceName, string args, string what)
    {
        var request = Add with { ContainerId = container, InterfaceName = interfaceName, Args = args };

        Assert.False(CniRequest.TryDecode(request.ToFrame().AsSpan(CniFrame.HeaderLength), out var decoded, out var error));
        Assert.Null(decoded);
        Assert.Contains(what, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Decoding_an_encoded_request_gives_it_back() =>
        Gen.Select(Gen.Enum<CniCommand>(), Gen.Enum<CniPlugin>(), Gen.String[Gen.Char.AlphaNumeric, 1, 15].Array[5],
                Gen.Byte.Array[0, 4000], Gen.Bool)
            .Select((command, plugin, texts, config, attached) => new CniRequest(command, plugin)
            {
                ContainerId = texts[0],
                NetnsPath = texts[1],
                InterfaceName = texts[2],
                Args = $"{texts[3]}={texts[4]}",
                Path = texts[4],
                Config = config,
                NetnsAttached = attached,
            })
            .Sample(request =>
            {
                var frame = request.ToFrame();
                return CniFrame.TryRead(frame, out var header) == CniFrameFault.None
                    && header.Length == frame.Length - CniFrame.HeaderLength
                    && CniRequest.TryDecode(frame.AsSpan(CniFrame.HeaderLength), out var decoded, out _)
                    && request.Equals(decoded);
            });

    [Fact]
    public void Decoding_an_encoded_reply_gives_it_back() =>
        Gen.Select(Gen.Byte, Gen.Byte.Array[0, 4000]).Select((code, output) => new CniReply(code, output))
            .Sample(reply => CniReply.TryDecode(reply.ToFrame().AsSpan(CniFrame.HeaderLength), out var decoded) && reply.Equals(decoded));

    [Fact]
    public void Random_bytes_never_throw() =>
        Gen.Byte.Array[0, 200].Sample(bytes =>
        {
            CniFrame.TryRead(bytes, out _);
            CniRequest.TryDecode(bytes, out _, out _);
            CniReply.TryDecode(bytes, out _);
        }, iter: 20_000);

    [Fact]
    public void A_request_with_flipped_bytes_never_throws() =>
        Gen.Select(Gen.Int[0, AddBytes.Length - 1], Gen.Byte).Sample((at, value) =>
        {
            var bytes = (byte[])AddBytes.Clone();
            bytes[at] = value;
            if (CniFrame.TryRead(bytes, out var frame) == CniFrameFault.None && frame.Length <= bytes.Length - CniFrame.HeaderLength)
                CniRequest.TryDecode(bytes.AsSpan(CniFrame.HeaderLength, frame.Length), out _, out _);
        }, iter: 20_000);

    [Fact]
    public void Text_is_not_limited_to_ascii()
    {
        var request = Add with { Args = "K8S_POD_NAME=größe" };

        Assert.True(CniRequest.TryDecode(request.ToFrame().AsSpan(CniFrame.HeaderLength), out var decoded, out _));
        Assert.Equal(request.Args, decoded!.Args);
    }

    [Fact]
    public void What_does_not_fit_a_frame_is_our_bug_and_throws()
    {
        Assert.Throws<ArgumentException>(() => (Add with { Config = new byte[CniFrame.MaxBodyLength] }).ToFrame());
        Assert.Throws<ArgumentException>(() => (Add with { Path = new string('x', 70_000) }).ToFrame());
        Assert.Throws<ArgumentException>(() => new CniReply(0, new byte[CniFrame.MaxBodyLength]).ToFrame());
    }

    [Fact]
    public void The_longest_configuration_fits_a_frame_beside_an_ordinary_environment()
    {
        var request = Add with { Config = new byte[CniConfigHeader.MaxLength] };

        Assert.Equal(CniFrameFault.None, CniFrame.TryRead(request.ToFrame(), out _));
    }

    [Fact]
    public void An_error_is_the_specification_s_object()
    {
        var error = new CniError(CniErrorCode.TryAgainLater, "no \"node\"", "start it");

        Assert.Equal("""{"cniVersion":"0.4.0","code":11,"msg":"no \u0022node\u0022","details":"start it"}""",
            Encoding.UTF8.GetString(error.ToBytes(new CniVersion(0, 4, 0))));
    }

    [Fact]
    public void An_error_without_details_has_no_such_key() =>
        Assert.Equal("""{"cniVersion":"1.1.0","code":7,"msg":"x"}""",
            Encoding.UTF8.GetString(new CniError(CniErrorCode.InvalidConfig, "x").ToReply(CniVersion.Newest).Output.Span));

    [Fact]
    public void A_result_reply_is_a_success_in_the_caller_s_shape()
    {
        var reply = CniReply.Result(new CniResult([], [new CniAddress(Cidr.Parse("10.65.1.2/32"))], []), new CniVersion(0, 2, 0));

        Assert.Equal(0, reply.ExitCode);
        Assert.Equal("""{"cniVersion":"0.2.0","ip4":{"ip":"10.65.1.2/32"},"dns":{}}""", Encoding.UTF8.GetString(reply.Output.Span));
    }
}
