using System.Text.Json;
using System.Text.Json.Nodes;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class BgpDecodeTests : IDisposable
{
    private const string Header = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF";

    private readonly CalicoctlRunner _calicoctl = new();

    public void Dispose() => _calicoctl.Dispose();

    [Fact]
    public async Task A_route_is_shown_with_its_attributes()
    {
        // Withdrawn nothing; ORIGIN IGP, AS_PATH 65001, NEXT_HOP 192.0.2.1, community 65001:7; 10.48.0.0/26.
        var json = await DecodeAsync("--four-octet-as", Update("", "400101004002060201 0000FDE9 400304C0000201 C00804FDE90007", "1A0A300000"));

        Same("""
            {"type":"update","update":{"attribute":{"origin":"igp","as-path":{"0":{"element":"as-sequence","value":[65001]}},"community":[[65001,7]]},
             "announce":{"ipv4 unicast":{"192.0.2.1":[{"nlri":"10.48.0.0/26"}]}}}}
            """, json[0]);
    }

    [Fact]
    public async Task Path_identifiers_are_read_where_they_are_agreed_on()
    {
        var json = await DecodeAsync("--four-octet-as --add-path ipv4",
            Update("00000007 080A", "400101004002060201 0000FDE9 400304C0000201", "01020304 1A0A300000 00000001 180A3001"));

        Same("""{"192.0.2.1":[{"nlri":"10.48.0.0/26","path-information":"1.2.3.4"},{"nlri":"10.48.1.0/24","path-information":"0.0.0.1"}]}""",
            json[0]["update"]!["announce"]!["ipv4 unicast"]!);
        Same("""[{"nlri":"10.0.0.0/8","path-information":"0.0.0.7"}]""", json[0]["update"]!["withdraw"]!["ipv4 unicast"]!);
    }

    [Theory]
    [InlineData("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE001304", 1, 1, "session-reset")]
    [InlineData(Header + "001204", 1, 2, "session-reset")]
    [InlineData(Header + "001306", 1, 3, "session-reset")]
    [InlineData(Header + "00130", null, null, null)]
    [InlineData(Header + "0013", 1, 2, "session-reset")]
    [InlineData(Header + "00130400", 1, 2, "session-reset")]
    public async Task A_broken_frame_names_code_and_subcode(string line, int? code, int? subcode, string? treatment)
    {
        var error = (await DecodeAsync("", line, exit: 1))[0]["error"]!;

        Assert.Equal((code, subcode, treatment), ((int?)error["code"], (int?)error["subcode"], (string?)error["treatment"]));
        Assert.NotEqual("", (string?)error["reason"]);
    }

    [Fact]
    public async Task A_broken_attribute_names_what_happens_to_its_routes()
    {
        // ORIGIN 7 does not exist: RFC 7606 section 7.1 withdraws the routes.
        var json = await DecodeAsync("--four-octet-as", Update("", "400101074002060201 0000FDE9 400304C0000201", "1A0A300000"), exit: 1);

        Assert.Equal((3, 6, "treat-as-withdraw"), ((int)json[0]["error"]!["code"]!, (int)json[0]["error"]!["subcode"]!, (string)json[0]["error"]!["treatment"]!));
        Same("""{"withdraw":{"ipv4 unicast":[{"nlri":"10.48.0.0/26"}]}}""", json[0]["update"]!);
    }

    [Fact]
    public async Task The_other_messages_are_shown_too()
    {
        var json = await DecodeAsync("", string.Join('\n',
            Header + "001304",
            Header + "0015030604",
            Header + "0017050001" + "0001",
            Header + "00170200000000",
            Header + "002D" + "01" + "04FDE9005AC0000201" + "10" + "020E" + "010400010001" + "0200" + "41040000FDE9"));

        Assert.Equal(["keepalive", "notification", "refresh", "update", "open"], json.Select(j => (string?)j["type"]));
        Assert.Equal("ipv4 unicast", (string?)json[2]["route-refresh"]!["family"]);
        Same("""{"afi":"ipv4","safi":"unicast"}""", json[3]["eor"]!);
        Same("""
            {"version":4,"asn":65001,"hold_time":90,"router_id":"192.0.2.1",
             "capabilities":{"multiprotocol":["ipv4 unicast"],"asn4":65001,"route-refresh":true}}
            """, json[4]["open"]!);
    }

    private async Task<List<JsonNode>> DecodeAsync(string options, string lines, int exit = 0)
    {
        var result = await _calicoctl.RunAsync(["bgp", "decode", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)], lines);
        Assert.Equal((exit, ""), (result.ExitCode, result.Error));
        return [.. result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonNode.Parse(l)!)];
    }

    private static string Update(string withdrawn, string attributes, string announced)
    {
        var (w, a, n) = (Octets(withdrawn), Octets(attributes), Octets(announced));
        return Header + $"{19 + 4 + (w.Length + a.Length + n.Length) / 2:X4}02{w.Length / 2:X4}{w}{a.Length / 2:X4}{a}{n}";
    }

    private static string Octets(string text) => text.Replace(" ", "", StringComparison.Ordinal);

    private static void Same(string expected, JsonNode actual) =>
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected), actual), actual.ToJsonString(new JsonSerializerOptions { WriteIndented = false }));
}
